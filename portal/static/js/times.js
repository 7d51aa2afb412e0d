// Show times in the viewer's zone; the server writes them in UTC and leaves the exact UTC in the title.

const FORMATS = {
  full: new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" }),
  minute: new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" }),
  clock: new Intl.DateTimeFormat(undefined, { timeStyle: "short" }),
};

function localize(root) {
  const times = [...root.querySelectorAll("time[data-local]")];
  if (root.matches?.("time[data-local]")) times.push(root);
  for (const time of times) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    time.textContent = (FORMATS[time.dataset.local] ?? FORMATS.minute).format(at);
  }
}

// The server reads days such as 2026-01-31 in this zone.
document.cookie = `zone=${Intl.DateTimeFormat().resolvedOptions().timeZone}; path=/; max-age=31536000; samesite=lax`;
localize(document);
document.addEventListener("htmx:load", (event) => localize(event.detail.elt));
