{
  const service = JSON.parse(document.getElementById("service").textContent);
  const form = document.getElementById("predict");
  const token = document.getElementById("token");
  const outcome = document.getElementById("outcome");
  const fields = [...form.querySelectorAll("[data-name]")].map((box) => ({
    name: box.dataset.name,
    jsonName: box.dataset.jsonName,
    kind: box.dataset.kind,
    input: box.querySelector(".value"),
    missing: box.querySelector(".missing input"),
    violation: box.querySelector(".violation"),
  }));

  const readValue = ({ kind, input, missing }) => {
    if (missing?.checked || input.value === "") return undefined;
    if (kind === "number" || kind === "integer") return Number(input.value);
    if (kind === "boolean") return input.value === "true";
    if (kind === "timestamp") return `${input.value}${input.value.length === 16 ? ":00" : ""}Z`;
    return input.value;
  };

  const readRequest = () => {
    const values = fields.map((field) => [field.jsonName, readValue(field)]);
    return { [service.rows]: [Object.fromEntries(values.filter(([, value]) => value !== undefined))] };
  };

  const showExamples = () => {
    const body = JSON.stringify(readRequest());
    const quoted = { curl: body.replaceAll("'", () => "'\\''"), python: body };
    for (const [id, text] of Object.entries(quoted)) {
      const example = document.getElementById(id);
      const template = example.dataset.template;
      example.textContent = template.replaceAll("{origin}", () => location.origin).replaceAll("{body}", () => text);
    }
  };

  const make = (tag, className, text) => {
    const made = document.createElement(tag);
    made.className = className;
    made.textContent = text;
    return made;
  };

  const showViolation = (field, text) => {
    field.violation.textContent = text;
    field.violation.hidden = !text;
    field.input.setAttribute("aria-invalid", String(Boolean(text)));
  };

  const clear = () => {
    outcome.replaceChildren();
    fields.forEach((field) => showViolation(field, ""));
  };

  const format = (value, { is_share: isShare, unit }) => {
    if (typeof value === "boolean") return value ? "yes" : "no";
    if (typeof value !== "number") return value;
    if (isShare) return `${(100 * value).toFixed(1)} %`;
    const number = value.toLocaleString("en", { maximumSignificantDigits: 6 });
    return unit ? `${number} ${unit}` : number;
  };

  const makeBar = (value, text) => {
    const bar = make("div", "bar", "");
    const part = make("span", "", "");
    part.style.inlineSize = `${100 * value}%`;
    bar.append(part);
    bar.setAttribute("role", "img");
    bar.setAttribute("aria-label", text);
    return bar;
  };

  const showPrediction = (answer) => {
    const prediction = answer[service.predictions][0];
    // A version that answers may lack a column.
    const columns = service.answer.filter(({ json_name: name }) => name in prediction);
    columns.forEach((column, position) => {
      const value = prediction[column.json_name];
      const text = format(value, column);
      outcome.append(make("p", position ? "result beside" : "result answered", `${column.description}: ${text}`));
      if (column.is_share) outcome.append(makeBar(value, text));
    });
    const origin = make("dl", "facts", "");
    for (const [name, key] of Object.entries(service.origin)) {
      const fact = document.createElement("div");
      fact.append(make("dt", "", name), make("dd", "code", answer[key] ?? ""));
      origin.append(fact);
    }
    outcome.append(origin);
  };

  const showProblem = (problem, retryAfter) => {
    const wait = retryAfter ? ` Ask again in ${retryAfter} s.` : "";
    outcome.append(make("p", "result error", `${problem.title ?? "Refused"}: ${problem.detail ?? ""}.${wait}`));
    const elsewhere = make("ul", "elsewhere", "");
    for (const { field: path, description } of problem.violations ?? []) {
      const name = path.slice(path.lastIndexOf(".") + 1);
      const field = fields.find((each) => path === `${service.rowsName}[0].${each.name}`);
      const words = description.startsWith(path) ? description.slice(path.length).trim() : description;
      if (field) showViolation(field, `${name} ${words}`);
      else elsewhere.append(make("li", "", description));
    }
    if (elsewhere.childElementCount) outcome.append(elsewhere);
    (problem.status === 401 ? token : fields.find((field) => !field.violation.hidden)?.input)?.focus();
  };

  const predict = async () => {
    const headers = { "content-type": "application/json" };
    if (token.value.trim()) headers.authorization = `Bearer ${token.value.trim()}`;
    const response = await fetch(service.path, { method: "POST", headers, body: JSON.stringify(readRequest()) });
    const answer = await response.json();
    if (response.ok) showPrediction(answer);
    else showProblem(answer, response.headers.get("retry-after"));
  };

  const readMistake = () => fields.find(({ input, missing }) => !missing?.checked && input.validity.badInput);

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    clear();
    const mistake = readMistake();
    if (mistake) {
      showViolation(mistake, `${mistake.name} cannot be read as a ${mistake.kind}`);
      mistake.input.focus();
      return;
    }
    form.setAttribute("aria-busy", "true");
    try {
      await predict();
    } catch {
      outcome.append(make("p", "result error", "The service cannot be reached."));
    } finally {
      form.removeAttribute("aria-busy");
    }
  });

  const show = () => {
    for (const { input, missing } of fields) if (missing) input.disabled = missing.checked;
    showExamples();
  };

  form.addEventListener("input", show);
  // Left by the page that this one has replaced.
  token.value = window.athanorToken ?? "";
  delete window.athanorToken;
  openLinks(() => token.value.trim());
  show();
}
