# Chooses the container engine for docker/verify. Sets DOCKER_HOST, and `engine` to the process of an engine it started.
engine=

say() { printf 'docker: %s\n' "$*" >&2; }

answers() { timeout 15 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

# The machine's engine, or a new one below the folder.
find_engine() {
  local kind
  command -v docker >/dev/null || return
  if answers; then
    return
  fi
  if ((EUID != 0)); then
    return 1
  fi
  for kind in dockerd podman; do
    if command -v "$kind" >/dev/null && "start_$kind" "$1"; then
      say "engine: $kind, of its own"
      return
    fi
  done
  return 1
}

# Without firewall rules: containers reach only each other.
start_dockerd() {
  export DOCKER_HOST=unix://$1/engine.sock
  setsid dockerd --host "$DOCKER_HOST" --data-root "$1/data" --exec-root "$1/exec" --pidfile "$1/engine.pid" --bridge=none \
    --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false >"$1/engine.log" 2>&1 &
  engine=$!
  wait_for_engine "$1"
}

start_podman() {
  export DOCKER_HOST=unix://$1/engine.sock
  export CONTAINERS_CONF=$1/containers.conf
  # Podman asks for more than some machines allow, and would then start nothing.
  printf '[containers]\ndefault_ulimits = ["nofile=20000:20000", "nproc=32768:32768"]\n' >"$CONTAINERS_CONF"
  setsid podman --root "$1/data" --runroot "$1/exec" --runtime runc --cgroup-manager cgroupfs --storage-driver overlay \
    system service --time 0 "$DOCKER_HOST" >"$1/engine.log" 2>&1 &
  engine=$!
  wait_for_engine "$1"
}

wait_for_engine() {
  local attempt
  for attempt in {1..60}; do
    if answers; then
      return
    fi
    kill -0 "$engine" 2>/dev/null || break
    sleep 0.5
  done
  tail -n 5 "$1/engine.log" >&2
  stop_engine
  return 1
}

# Ends the engine's own process, which ends its children.
stop_engine() {
  [[ -n $engine ]] || return 0
  kill "$engine" 2>/dev/null || true
  wait "$engine" 2>/dev/null || true
  engine=
}
