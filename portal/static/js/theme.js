// Loaded before the first paint, so that a page never flashes in the other theme.
(() => {
  const KEY = "waybill-theme";
  const dark = matchMedia("(prefers-color-scheme: dark)");

  const chosen = () => {
    try {
      return localStorage.getItem(KEY) || "system";
    } catch {
      return "system"; // storage may be forbidden by the browser
    }
  };

  const apply = () => {
    const choice = chosen();
    const theme = choice === "system" ? (dark.matches ? "dark" : "light") : choice;
    document.documentElement.setAttribute("data-bs-theme", theme);
  };

  apply();
  dark.addEventListener("change", apply);
  addEventListener("storage", apply);

  document.addEventListener("DOMContentLoaded", () => {
    for (const input of document.querySelectorAll("input[data-theme-choice]")) {
      input.checked = input.value === chosen();
    }
  });

  document.addEventListener("change", (event) => {
    if (!event.target.matches("input[data-theme-choice]")) return;
    try {
      localStorage.setItem(KEY, event.target.value);
    } catch {
      return;
    }
    apply();
  });
})();
