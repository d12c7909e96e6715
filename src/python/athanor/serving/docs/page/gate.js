"use strict";
{
  // A browser sends no token when it opens an address. Fetch the page with the token, and replace this one by it.
  const outcome = document.getElementById("outcome");

  const showError = (text) => {
    const error = document.createElement("p");
    error.className = "result error";
    error.textContent = text;
    outcome.replaceChildren(error);
  };

  const open = async (token) => {
    const response = await fetch(location.pathname, { headers: { authorization: `Bearer ${token}`, accept: "text/html" } });
    const page = await response.text();
    // Without permission the service sends this page again.
    if (!response.ok || new DOMParser().parseFromString(page, "text/html").getElementById("gate")) {
      showError("This token is unknown, or does not permit reading the documentation.");
      return;
    }
    window.athanorToken = token;
    document.open();
    document.write(page);
    document.close();
  };

  document.getElementById("gate").addEventListener("submit", (event) => {
    event.preventDefault();
    open(document.getElementById("token").value.trim()).catch(() => showError("The service cannot be reached."));
  });
}
