"use strict";
// Every text from data goes in by textContent, or as entities where Plotly reads a little HTML.
const $ = (id) => document.getElementById(id);
const entities = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
const colors = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c6bb1", "#7f7f7f", "#b8a100", "#004d40"];
const dark = matchMedia("(prefers-color-scheme: dark)");
const SLIDERS = 10, MARGIN = {l: 48, r: 10, t: 10, b: 40};
let about, z, points = {x: [], y: []}, seed = 0, ends = [null, null], sheet = null, waiting = false, again = false;

async function ask(path, body, kind = "application/json") {
  const how = body === undefined ? {} : {method: "POST", body: kind === "application/json" ? JSON.stringify(body) : body, headers: {"Content-Type": kind}};
  const answer = await fetch(path, how);
  if (!answer.ok) { say(await answer.text()); throw new Error(path); }
  $("said").hidden = true;
  return answer;
}
const json = async (...given) => (await ask(...given)).json();
const quiet = (work) => (...given) => work(...given).catch(() => {});
function say(words) { $("said").textContent = words; $("said").hidden = false; }
function make(tag, text, more = {}) { const e = document.createElement(tag); if (text !== undefined) e.textContent = text; return Object.assign(e, more); }

const short = (name) => String(name).length > 36 ? `${String(name).slice(0, 35)}…` : name;
function table(rows, head) {
  const made = make("table"), box = make("div", undefined, {className: "wide", tabIndex: 0});
  if (head) { const r = made.createTHead().insertRow(); for (const h of head) r.append(make("th", short(h), {scope: "col", title: h})); }
  const body = made.createTBody();
  for (const [name, ...cells] of rows) { const r = body.insertRow(); r.append(make("th", name, {scope: "row"})); for (const c of cells) r.insertCell().textContent = c; }
  box.append(made); return box;
}
const both = (d) => typeof d.datum === "string" ? [shown(d.datum, "the datum"), shown(d.again, "its reconstruction")]
  : [table(d.datum.map((v, j) => [about.columns[j], v, d.again[j]]), ["column", "datum", "reconstruction"])];
const shown = (x, words) => typeof x === "string" ? make("img", undefined, {src: x, alt: words}) : table(x.map((v, j) => [about.columns[j], v]), ["column", words]);

function theme(layout) {
  const ink = dark.matches ? "#e3e9ef" : "#1b2733", line = dark.matches ? "#36414c" : "#d8dee4", axis = {gridcolor: line, zerolinecolor: line};
  return {paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: {color: ink, family: "system-ui, sans-serif"}, ...layout,
    xaxis: {...axis, ...layout.xaxis}, yaxis: {...axis, ...layout.yaxis}};
}

// -- the map
function range() { const l = $("map").layout; return [l.xaxis.range, l.yaxis.range].map((r) => r.map(Number)); }
function placeDot() {
  if (!$("map").layout) return;
  const [x, y] = range(), w = $("over").clientWidth, h = $("over").clientHeight, [a, b] = axes();
  $("dot").style.left = `${(z[a] - x[0]) / (x[1] - x[0]) * w}px`;
  $("dot").style.top = `${(1 - (z[b] - y[0]) / (y[1] - y[0])) * h}px`;
}
const axes = () => [Number($("a").value), Number($("b").value)];
async function drawMap() {
  const [a, b] = axes();
  points = await json(`/api/map?a=${a}&b=${b}`);
  const gl = points.x.length > 4000 && document.createElement("canvas").getContext("webgl"), type = gl ? "scattergl" : "scatter";
  const step = gl ? 1 : Math.ceil(points.x.length / 4000), kinds = [...new Set(points.label || [])].sort((p, q) => p - q || (p < q ? -1 : 1));
  const labelled = kinds.length > 1 && kinds.length <= 20, traces = [];
  for (const kind of labelled ? kinds : [null]) {
    const x = [], y = [];
    for (let i = 0; i < points.x.length; i += step) if (kind === null || points.label[i] === kind) { x.push(points.x[i]); y.push(points.y[i]); }
    traces.push({type, mode: "markers", x, y, name: kind === null ? "data" : entities(kind), hoverinfo: "skip", marker: {size: points.x.length > 5000 ? 3 : 5, opacity: .7, color: colors[traces.length % colors.length]}});
  }
  const wide = (j) => { const m = .08 * (about.high[j] - about.low[j]) || 1; return [about.low[j] - m, about.high[j] + m]; };
  await Plotly.react("map", traces, theme({margin: MARGIN, dragmode: "pan", hovermode: false, showlegend: labelled, legend: {x: 1, xanchor: "right", y: 1, bgcolor: "rgba(127,127,127,.15)"},
    xaxis: {title: {text: `z${a}`}, range: wide(a)}, yaxis: {title: {text: `z${b}`}, range: wide(b)}}), {responsive: true, displayModeBar: false, scrollZoom: true});
  $("map").removeAllListeners?.("plotly_relayout"); $("map").removeAllListeners?.("plotly_relayouting");
  $("map").on("plotly_relayout", placeDot); $("map").on("plotly_relayouting", placeDot);
  placeDot();
}
function moveTo(event) {
  const box = $("over").getBoundingClientRect(), [x, y] = range(), [a, b] = axes();
  z[a] = x[0] + (event.clientX - box.left) / box.width * (x[1] - x[0]);
  z[b] = y[1] - (event.clientY - box.top) / box.height * (y[1] - y[0]);
  moved();
}
function nearest() {
  const [a, b] = axes(), [x, y] = range(), sx = x[1] - x[0], sy = y[1] - y[0];
  let best = -1, least = Infinity;
  for (let i = 0; i < points.x.length; i++) { const d = ((points.x[i] - z[a]) / sx) ** 2 + ((points.y[i] - z[b]) / sy) ** 2; if (d < least) { least = d; best = i; } }
  return best;
}
function listenToMap() {
  let pressed = null;
  $("over").addEventListener("pointerdown", (e) => { pressed = [e.clientX, e.clientY]; $("over").setPointerCapture(e.pointerId); moveTo(e); });
  $("over").addEventListener("pointermove", (e) => { if (pressed) moveTo(e); });
  $("over").addEventListener("pointerup", (e) => { if (pressed && Math.hypot(e.clientX - pressed[0], e.clientY - pressed[1]) < 4) showDatum(); pressed = null; });
  $("over").addEventListener("keydown", (e) => {
    const [x, y] = range(), [a, b] = axes(), by = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1]}[e.key];
    if (by) { z[a] += by[0] * (x[1] - x[0]) / 50; z[b] += by[1] * (y[1] - y[0]) / 50; moved(); e.preventDefault(); }
    if (e.key === "Enter") showDatum();
  });
  for (const id of ["move", "pan"]) $(id).onchange = () => $("over").classList.toggle("through", $("pan").checked);
  for (const id of ["a", "b"]) $(id).onchange = quiet(drawMap);
}

// -- z and what it decodes to
function moved() {
  for (const input of $("sliders").querySelectorAll("input")) { const j = input.dataset.latent; input.value = z[j]; input.nextElementSibling.textContent = z[j].toFixed(2); }
  const [a, b] = axes(); $("where").textContent = `z${a} = ${z[a].toFixed(2)}, z${b} = ${z[b].toFixed(2)}`;
  placeDot(); decode();
}
async function decode() {  // one request under way at a time, and the last z wins
  if (waiting) { again = true; return; }
  waiting = true;
  try {
    do { again = false;
      const began = performance.now(), {shown: [x]} = await json("/api/decode", {z: [z], draw: $("draw").checked, seed});
      const old = $("decoded").firstElementChild;
      if (typeof x === "string" && old?.tagName === "IMG") old.src = x; else $("decoded").replaceChildren(shown(x, "decoded"));
      $("decoded").dataset.ms = performance.now() - began;
    } while (again);
  } catch { /* said already */ } finally { waiting = false; }
}
function makeSliders() {
  const some = about.latents.slice(0, SLIDERS);
  $("sliders").replaceChildren(...some.map((j) => {
    const span = about.high[j] - about.low[j] || 1, label = make("label", `z${j}`);
    const input = make("input", undefined, {type: "range", min: about.low[j] - span / 4, max: about.high[j] + span / 4, step: span / 200});
    input.dataset.latent = j; input.value = z[j];
    input.oninput = () => { z[j] = Number(input.value); moved(); };
    label.append(input, make("output", z[j].toFixed(2))); return label;
  }));
}

// -- a datum, of the data or one's own
function tell(d, words) {
  const rows = [["log p(x) at least", d.log_p.toFixed(2), `nats, ${d.draws} draws`], ["ELBO", d.elbo.toFixed(2), "nats"], ["J1, reconstruction", d.reconstruction.toFixed(2), "nats"], ["J2, KL", d.kl.toFixed(2), "nats"]];
  if (d.label != null) rows.unshift(["label", d.label, ""]);
  if (d.lower_than != null) rows.push(["surprise", `less likely than ${(100 * d.lower_than).toFixed(0)} %`, `of the run's own rows (5 % to 95 %: ${d.usual[0].toFixed(1)} to ${d.usual[2].toFixed(1)})`]);
  for (const j of about.latents.slice(0, 6)) rows.push([`z${j}`, d.z[j].toFixed(3), d.spread ? `± ${d.spread[j].toFixed(3)}` : ""]);
  $("point").replaceChildren(make("h3", words), ...both(d), table(rows));
  z = [...d.z]; moved();
}
const showDatum = quiet(async () => { const i = nearest(); if (i >= 0) { const d = await json(`/api/datum?place=${i}`); tell(d, `Row ${d.row}`); } });
const encode = quiet(async (body, kind, words) => tell(await json("/api/encode", body, kind), words));
function listenToOwn() {
  const give = (file) => { if (file) encode(file, file.type || "application/octet-stream", file.name); };
  $("file").onchange = () => give($("file").files[0]);
  for (const on of ["dragover", "dragleave", "drop"]) addEventListener(on, (e) => { e.preventDefault(); $("drop").classList.toggle("over", on === "dragover"); if (on === "drop") give(e.dataTransfer.files[0]); });
  $("row-form").onsubmit = (e) => { e.preventDefault(); encode($("row").value, "text/plain", "Your row"); };
  const pen = $("pad").getContext("2d"), at = (e) => { const b = $("pad").getBoundingClientRect(); return [e.clientX - b.left, e.clientY - b.top]; };
  Object.assign(pen, {lineWidth: 13, lineCap: "round", lineJoin: "round", strokeStyle: "#fff"});
  const clear = () => { pen.fillStyle = "#000"; pen.fillRect(0, 0, 140, 140); }; clear();
  $("pad").onpointerdown = (e) => { $("pad").setPointerCapture(e.pointerId); pen.beginPath(); pen.moveTo(...at(e)); };
  $("pad").onpointermove = (e) => { if (e.buttons) { pen.lineTo(...at(e)); pen.stroke(); } };
  $("clear-pad").onclick = clear;
  $("use-pad").onclick = () => $("pad").toBlob((blob) => encode(blob, "image/png", "Your drawing"));
  if (!about.picture) { $("pad-box").hidden = $("drop").hidden = true; } else if (about.shape.length !== 2) $("pad-box").hidden = true;
}

// -- paths, samples, downloads
function showSheet(told, words) {
  sheet = told; $("sheet-save").hidden = false; $("sheet-png").hidden = !told.sheet;
  $("sheet").replaceChildren(told.sheet ? make("img", undefined, {src: told.sheet, alt: words}) : table(told.values.map((row, i) => [i + 1, ...row]), ["", ...about.columns]));
}
function save(href, name) { const link = make("a", undefined, {href, download: name}); document.body.append(link); link.click(); link.remove(); }
const saveNpz = quiet(async (some, name, draw) => { const blob = await (await ask("/api/shown.npz", {z: some, draw, seed})).blob(), url = URL.createObjectURL(blob); save(url, name); setTimeout(() => URL.revokeObjectURL(url), 10000); });
function listenToRest() {
  $("draw").onchange = decode; $("again").onclick = () => { seed += 1; $("draw").checked = true; decode(); };
  $("center").onclick = () => { z = [...about.mean]; moved(); };
  $("from").onclick = () => { ends[0] = [...z]; say("The path starts at this z."); };
  $("to").onclick = () => { ends[1] = [...z]; say("The path ends at this z."); };
  $("go").onclick = quiet(async () => { if (!ends[0] || !ends[1]) return say("Say first where the path starts and where it ends."); showSheet(await json("/api/path", {start: ends[0], end: ends[1], how: $("how").value, steps: 16}), "Data along the path"); });
  $("sample").onclick = quiet(async () => { seed += 1; showSheet(await json("/api/sample", {n: Number($("n").value), temperature: Number($("temperature").value), draw: $("draw").checked, seed}), "Samples from the prior"); });
  $("save-png").hidden = !about.picture;
  $("save-png").onclick = () => save($("decoded").querySelector("img").src, "decoded.png");
  $("save-npz").onclick = () => saveNpz([z], "decoded.npz", $("draw").checked);
  $("sheet-png").onclick = () => save(sheet.sheet, "sheet.png");
  $("sheet-npz").onclick = () => saveNpz(sheet.z, "sheet.npz", false);
}

// -- curves, live
const curves = quiet(async () => {
  const told = await json("/api/history"), c = told.curves;
  $("ending").textContent = told.ending;
  if (!about.model && told.model) return location.reload();
  if (c) {
    const line = (name, words, color) => c[name] && {x: c.epoch, y: c[name], name: words, mode: c.epoch.length > 1 ? "lines" : "markers", line: {color}};
    await Plotly.react("curves", [line("elbo", "while training", colors[4]), line("validation_elbo", "validation", colors[0]), line("training_elbo", "training rows, afterwards", colors[0])].filter(Boolean),
      theme({height: 280, margin: MARGIN, xaxis: {title: {text: "epoch"}}, yaxis: {title: {text: "ELBO, nats per datum"}, automargin: true}, legend: {orientation: "h", y: 1.1}}), {responsive: true, displayModeBar: false});
  }
  if (!/^(Converged|Stopped)/.test(told.ending)) setTimeout(curves, 3000);
});

(async () => {
  about = await json("/api/about");
  $("name").textContent = document.title = about.name;
  if (about.missing.length) { $("missing").textContent = about.missing.join(" "); $("missing").hidden = false; }
  if (about.model) {
    z = [...about.mean]; $("space").hidden = false;
    for (const id of ["a", "b"]) $(id).replaceChildren(...about.latents.map((j) => make("option", `z${j}`, {value: j})));
    $("b").selectedIndex = Math.min(1, about.latents.length - 1);
    makeSliders(); listenToMap(); listenToOwn(); listenToRest();
    await drawMap(); moved();
    dark.addEventListener("change", quiet(drawMap)); addEventListener("resize", placeDot);
  }
  await curves();
  document.body.dataset.ready = "yes";
})().catch(() => {});
