"use strict";

// Fetches a page with a token, and replaces this one by it: a browser sends no token when it opens an address.
async function openPage(path, token) {
  const response = await fetch(path, { headers: { authorization: `Bearer ${token}`, accept: "text/html" } });
  const page = await response.text();
  if (response.status === 404) return JSON.parse(page).detail;
  // Without permission the service sends the gate.
  if (!response.ok || new DOMParser().parseFromString(page, "text/html").getElementById("gate")) {
    return "This token is unknown, or does not permit reading the documentation.";
  }
  if (path !== location.pathname) history.pushState(null, "", path);
  window.athanorToken = token;
  document.open();
  document.write(page);
  document.close();
  return "";
}

// Opens links between pages with the token that this page has, if any.
function openLinks(readToken) {
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='/docs']");
    const token = readToken();
    if (!link || !token || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    openPage(link.pathname, token)
      .catch(() => "The service cannot be reached.")
      .then((problem) => problem && location.assign(link.href));
  });
  addEventListener("popstate", () => location.reload());
}
