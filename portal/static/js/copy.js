// Copy the value of a [data-copy] button, and say so to eyes and to screen readers.

const SHOWN_MS = 2000;

async function copy(button) {
  const said = document.getElementById("said");
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
  } catch {
    said.textContent = "Copying is not allowed here.";
    return;
  }
  button.setAttribute("data-copied", "");
  said.textContent = `${button.dataset.copy} copied.`;
  setTimeout(() => {
    button.removeAttribute("data-copied");
    said.textContent = "";
  }, SHOWN_MS);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (button) copy(button);
});
