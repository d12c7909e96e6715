"use strict";
{
  // A browser sends no token when it opens a page: so the page is fetched with one, and takes the place of this one.
  const outcome = document.getElementById("outcome");

  const tell = (text) => {
    const told = document.createElement("p");
    told.className = "told refused";
    told.textContent = text;
    outcome.replaceChildren(told);
  };

  const open = async (token) => {
    const response = await fetch(location.pathname, { headers: { authorization: `Bearer ${token}`, accept: "text/html" } });
    const page = await response.text();
    // To whoever may not see it, this page comes again.
    if (!response.ok || new DOMParser().parseFromString(page, "text/html").getElementById("gate")) {
      tell("The service does not know this token, or it may not do this.");
      return;
    }
    window.athanorToken = token;
    document.open();
    document.write(page);
    document.close();
  };

  document.getElementById("gate").addEventListener("submit", (event) => {
    event.preventDefault();
    open(document.getElementById("token").value.trim()).catch(() => tell("The service cannot be reached."));
  });
}
