{
  const outcome = document.getElementById("outcome");

  const showError = (text) => {
    const error = document.createElement("p");
    error.className = "result error";
    error.textContent = text;
    outcome.replaceChildren(error);
  };

  document.getElementById("gate").addEventListener("submit", (event) => {
    event.preventDefault();
    openPage(location.pathname, document.getElementById("token").value.trim())
      .then((problem) => problem && showError(problem))
      .catch(() => showError("The service cannot be reached."));
  });
}
