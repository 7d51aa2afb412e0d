// Draw the process of a figure[data-process-xml] and mark its elements. Without a drawing the list of steps stays open.

const ZOOM_STEP = 1.25;
const PADDING = 20;
const LEGIBLE = 0.6;
const STATES = ["passed", "current", "exception", "failed", "skipped"];
const viewers = new WeakMap();

async function fetchXml(url) {
  const answer = await fetch(url, { credentials: "same-origin" });
  if (!answer.ok) throw new Error(`the drawing was answered with ${answer.status}`);
  return answer.text();
}

// All of the drawing where it stays legible; else the place where the order is.
function fit(viewer) {
  const canvas = viewer.get("canvas");
  const { inner, outer } = canvas.viewbox();
  if (!outer.width || !outer.height) return; // not laid out yet, or no longer: the observer calls again
  const whole = Math.min((outer.width - 2 * PADDING) / inner.width, (outer.height - 2 * PADDING) / inner.height, 1);
  const scale = Math.max(whole, LEGIBLE);
  const place = scale > whole ? whereabouts(viewer, inner) : inner;
  const width = outer.width / scale;
  const height = outer.height / scale;
  canvas.viewbox({
    x: place.x - (width - place.width) / 2,
    y: place.y - (height - place.height) / 2,
    width,
    height,
  });
}

function whereabouts(viewer, inner) {
  const canvas = viewer.get("canvas");
  const isAt = (state) => viewer.get("elementRegistry").find((element) => canvas.hasMarker(element, `wb-step-${state}`));
  const at = isAt("exception") ?? isAt("current");
  return at && !at.waypoints ? at : { x: inner.x, y: inner.y, width: canvas.viewbox().outer.width, height: inner.height };
}

function mark(viewer, marks) {
  const canvas = viewer.get("canvas");
  viewer.get("elementRegistry").forEach(({ id }) => {
    for (const state of STATES) {
      if (state === marks[id]) canvas.addMarker(id, `wb-step-${state}`);
      else canvas.removeMarker(id, `wb-step-${state}`);
    }
  });
}

async function draw(figure) {
  const xml = await fetchXml(figure.dataset.processXml);
  const holder = figure.querySelector(".wb-process-canvas");
  const viewer = new window.BpmnJS({
    container: holder,
    zoomScroll: { enabled: false }, // the wheel belongs to the page
    bpmnRenderer: {
      defaultFillColor: "var(--wb-surface)",
      defaultStrokeColor: "var(--wb-line-strong)",
      defaultLabelColor: "var(--wb-ink)",
    },
  });
  figure.setAttribute("data-drawn", "");
  try {
    await viewer.importXML(xml);
  } catch (error) {
    figure.removeAttribute("data-drawn");
    viewer.destroy();
    throw error;
  }
  const canvas = viewer.get("canvas");
  mark(viewer, JSON.parse(figure.dataset.processMarks || "{}"));
  viewers.set(figure, viewer);
  fit(viewer);
  name(holder, figure.dataset.processName);
  wire(figure, viewer, holder);
  figure.querySelector("details")?.removeAttribute("open");
}

function name(holder, label) {
  const svg = holder.querySelector("svg[data-element-id], .djs-container > svg");
  svg?.setAttribute("role", "img");
  svg?.setAttribute("aria-label", label);
}

function wire(figure, viewer, holder) {
  const canvas = viewer.get("canvas");
  const actions = {
    in: () => canvas.zoom(canvas.zoom() * ZOOM_STEP, "auto"),
    out: () => canvas.zoom(canvas.zoom() / ZOOM_STEP, "auto"),
    fit: () => fit(viewer),
  };
  figure.addEventListener("click", (event) => {
    actions[event.target.closest("[data-zoom]")?.dataset.zoom]?.();
  });
  new ResizeObserver(() => {
    canvas.resized();
    fit(viewer);
  }).observe(holder);
}

function drawAll(root) {
  const figures = [...root.querySelectorAll("figure[data-process-xml]:not([data-seen])")];
  if (root.matches?.("figure[data-process-xml]:not([data-seen])")) figures.push(root);
  for (const figure of figures) {
    figure.setAttribute("data-seen", "");
    draw(figure).catch((error) => console.warn("No drawing of the process:", error));
  }
}

// A fragment that is swapped in may bring new marks for a drawing that stays.
function remark(root) {
  const news = [...root.querySelectorAll("[data-marks-for]")];
  if (root.matches?.("[data-marks-for]")) news.push(root);
  for (const element of news) {
    const figure = document.getElementById(element.dataset.marksFor);
    const viewer = figure && viewers.get(figure);
    if (viewer) mark(viewer, JSON.parse(element.dataset.processMarks));
    else if (figure) figure.dataset.processMarks = element.dataset.processMarks;
  }
}

drawAll(document);
document.addEventListener("htmx:load", (event) => {
  remark(event.detail.elt);
  drawAll(event.detail.elt);
});
