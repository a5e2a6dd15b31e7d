"use strict";
// The map: a Plotly figure of axes, and over it one of points, half as large again on every side. Panning and zooming move
// the picture of the points, as they do in an atlas on a screen, and draw them anew at rest: without a graphics card
// 60,000 points take half a second to draw.
const MARGIN = {l: 48, r: 10, t: 10, b: 40}, OVERHANG = .5, AS_SHAPES = 4000, REST = 250;
const CONFIG = {responsive: true, displayModeBar: false, staticPlot: true}, PLAIN = {dragmode: false, hovermode: false, showlegend: false};
const colors = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c6bb1", "#888888", "#b8a100", "#a0522d"];
let points = {x: [], y: []}, view, drawn, resting, axesAsked = false;
const off = new Set();  // labels that are not drawn
// Asked once, and given back: a browser lends 16 contexts, and takes the oldest back, those in which Plotly draws.
const webgl = (() => { const gl = document.createElement("canvas").getContext("webgl"); gl?.getExtension("WEBGL_lose_context")?.loseContext(); return Boolean(gl); })();

const axes = () => [Number($("a").value), Number($("b").value)];
const span = ([low, high]) => high - low;
const whole = (j) => { const m = .08 * (about.high[j] - about.low[j]) || 1; return [about.low[j] - m, about.high[j] + m]; };
const wide = ([low, high]) => [low - OVERHANG * (high - low), high + OVERHANG * (high - low)];

// Where a point of the plane stands in the window, in parts of its width and height from the left and the top.
const across = (x) => (x - view.x[0]) / span(view.x), down = (y) => (view.y[1] - y) / span(view.y);

function showView() {
  const w = $("over").clientWidth, h = $("over").clientHeight, [a, b] = axes();
  $("points").style.transform = `translate(${across(drawn.x[0]) * w}px, ${down(drawn.y[1]) * h}px) scale(${span(drawn.x) / span(view.x)}, ${span(drawn.y) / span(view.y)})`;
  $("dot").style.left = `${across(z[a]) * w}px`;
  $("dot").style.top = `${down(z[b]) * h}px`;
}
function turnTo(x, y) {  // look at another part of the plane
  view = {x, y};
  showView();
  if (!axesAsked) {
    axesAsked = true;
    requestAnimationFrame(() => { axesAsked = false; Plotly.relayout("map", {"xaxis.range": [...view.x], "yaxis.range": [...view.y]}); });
  }
  clearTimeout(resting);
  resting = setTimeout(drawPoints, REST);
}
function drawPoints() {
  if ($("over").dataset.pressed) { resting = setTimeout(drawPoints, REST); return; }
  drawn = {x: [...view.x], y: [...view.y]};
  Plotly.relayout("points", {"xaxis.range": wide(drawn.x), "yaxis.range": wide(drawn.y)});
  showView();
}
const pan = (dx, dy) => turnTo(view.x.map((v) => v - dx * span(view.x)), view.y.map((v) => v + dy * span(view.y)));
function zoom(by, x = (view.x[0] + view.x[1]) / 2, y = (view.y[0] + view.y[1]) / 2) {
  turnTo(view.x.map((v) => x + (v - x) / by), view.y.map((v) => y + (v - y) / by));
}
const seeAll = () => turnTo(...axes().map(whole));

function kinds() {  // the labels, where they are few enough for a color each
  const found = [...new Set(points.label || [])].sort((p, q) => p - q || (p < q ? -1 : 1));
  return found.length > 1 && found.length <= 2 * colors.length ? found : [];
}
function trace() {  // in the order of the rows, so that no label lies on top of the others
  const some = points.x.length, gl = some > AS_SHAPES && webgl, step = gl ? 1 : Math.ceil(some / AS_SHAPES) || 1;
  const named = kinds(), of = new Map(named.map((kind, k) => [kind, colors[k % colors.length]])), x = [], y = [], color = [];
  for (let i = 0; i < some; i += step) {
    const kind = points.label?.[i];
    if (!off.has(kind)) { x.push(points.x[i]); y.push(points.y[i]); if (of.size) color.push(of.get(kind)); }
  }
  const n = (v) => v.toLocaleString("en");
  $("count").textContent = (points.of > some ? `${n(some)} of the ${n(points.of)} rows, evenly taken.` : `${n(some)} rows.`)
    + (step > 1 ? ` Of these ${n(x.length)} are drawn: this browser has no WebGL.` : x.length < some ? ` ${n(x.length)} are drawn.` : "");
  return {type: gl ? "scattergl" : "scatter", mode: "markers", x, y, hoverinfo: "skip", marker: {size: some > 5000 ? 3 : 5, opacity: .7, color: of.size ? color : colors[0], line: {width: 0}}};
}
function makeLegend() {
  off.clear();
  $("legend").replaceChildren(...kinds().map((kind, k) => {
    const button = make("button", kind, {onclick: () => {
      if (!off.delete(kind)) off.add(kind);
      button.ariaPressed = String(!off.has(kind)); react();
    }});
    button.ariaPressed = "true"; button.style.setProperty("--mark", colors[k % colors.length]);
    return button;
  }));
}
function react() {
  drawn = {x: [...view.x], y: [...view.y]};
  const free = {visible: false, fixedrange: true};
  return Plotly.react("points", [trace()], theme({...PLAIN, margin: {l: 0, r: 0, t: 0, b: 0}, xaxis: {...free, range: wide(drawn.x)}, yaxis: {...free, range: wide(drawn.y)}}), CONFIG).then(showView);
}
async function drawMap() {
  const [a, b] = axes();
  points = await json(`/api/map?a=${a}&b=${b}`);
  view = {x: whole(a), y: whole(b)};
  await Plotly.react("map", [{x: [], y: [], type: "scatter"}], theme({...PLAIN, margin: MARGIN, xaxis: {title: {text: `z${a}`}, range: [...view.x]}, yaxis: {title: {text: `z${b}`}, range: [...view.y]}}), CONFIG);
  makeLegend();
  await react();
}
function at(event) {  // where the pointer is, in the plane
  const box = $("over").getBoundingClientRect();
  return [view.x[0] + (event.clientX - box.left) / box.width * span(view.x), view.y[1] - (event.clientY - box.top) / box.height * span(view.y)];
}
function nearest() {  // the point next to z in the plane
  const [a, b] = axes();
  let best = -1, least = Infinity;
  for (let i = 0; i < points.x.length; i++) { const d = ((points.x[i] - z[a]) / span(view.x)) ** 2 + ((points.y[i] - z[b]) / span(view.y)) ** 2; if (d < least) { least = d; best = i; } }
  return best;
}
function listenToMap() {
  const over = $("over"), panning = (e) => $("pan").checked || e.shiftKey;
  let began = null, last = null;
  const moveTo = (e) => { const [a, b] = axes(); [z[a], z[b]] = at(e); moved(); };
  const release = () => { began = last = null; delete over.dataset.pressed; };
  over.addEventListener("pointerdown", (e) => { began = last = [e.clientX, e.clientY]; over.dataset.pressed = panning(e) ? "pan" : "move"; over.setPointerCapture(e.pointerId); if (!panning(e)) moveTo(e); });
  over.addEventListener("pointermove", (e) => {
    if (!began) return;
    if (over.dataset.pressed === "move") return moveTo(e);
    pan((e.clientX - last[0]) / over.clientWidth, (e.clientY - last[1]) / over.clientHeight); last = [e.clientX, e.clientY];
  });
  over.addEventListener("pointerup", (e) => { if (over.dataset.pressed === "move" && Math.hypot(e.clientX - began[0], e.clientY - began[1]) < 4) showDatum(); release(); });
  over.addEventListener("pointercancel", release);
  over.addEventListener("wheel", (e) => { if (panning(e)) { e.preventDefault(); zoom(Math.exp(-.0015 * (e.deltaY || e.deltaX)), ...at(e)); } }, {passive: false});
  over.addEventListener("keydown", (e) => {
    const [a, b] = axes(), by = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1]}[e.key];
    const keys = {Enter: showDatum, "+": () => zoom(1.25), "=": () => zoom(1.25), "-": () => zoom(.8), 0: seeAll};
    if (by && panning(e)) pan(-by[0] / 10, by[1] / 10);
    else if (by) { z[a] += by[0] * span(view.x) / 50; z[b] += by[1] * span(view.y) / 50; moved(); }
    else if (keys[e.key] && !e.ctrlKey && !e.metaKey) keys[e.key]();
    else return;
    e.preventDefault();
  });
  $("in").onclick = () => zoom(1.5); $("out").onclick = () => zoom(1 / 1.5); $("all").onclick = seeAll;
  for (const id of ["move", "pan"]) $(id).onchange = () => over.classList.toggle("panning", $("pan").checked);
  for (const id of ["a", "b"]) $(id).onchange = quiet(drawMap);
  addEventListener("resize", () => showView());
}
