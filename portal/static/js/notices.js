// When a request of htmx gets no usable answer, say so above the page. Refusals (4xx) come as fragments of their own.

function say(text) {
  const template = document.getElementById("notice-template");
  const notices = document.getElementById("notices");
  const notice = template.content.firstElementChild.cloneNode(true);
  notice.querySelector("[data-text]").textContent = text;
  notices.replaceChildren(notice);
  notices.scrollIntoView({ block: "nearest" });
}

document.addEventListener("htmx:sendError", () => {
  say("The portal could not be reached. Nothing is known about what was asked; look before asking again.");
});
document.addEventListener("htmx:timeout", () => {
  say("The portal took too long to answer. Look whether it was done before asking again.");
});
document.addEventListener("htmx:responseError", (event) => {
  const { status } = event.detail.xhr;
  if (status >= 500) say(`The portal failed to answer (${status}). It is logged; try again in a moment.`);
});
document.addEventListener("htmx:afterRequest", (event) => {
  if (event.detail.successful) document.getElementById("notices").replaceChildren();
});
