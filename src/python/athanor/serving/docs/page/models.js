{
  // Left by the gate, if this page has replaced it.
  const token = window.athanorToken ?? "";
  delete window.athanorToken;
  openLinks(() => token);
}
