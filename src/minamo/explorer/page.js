"use strict";
// Every text from data goes in by textContent.
const $ = (id) => document.getElementById(id);
const dark = matchMedia("(prefers-color-scheme: dark)");
const SLIDERS = 10, ANNOUNCE = 600, POLL = 3000;
let about = {model: false}, z, seed = 0, ends = [null, null], sheet = null, waiting = false, again = false, announcing, news = "";

async function ask(path, body, kind = "application/json") {
  const how = body === undefined ? {} : {method: "POST", body: kind === "application/json" ? JSON.stringify(body) : body, headers: {"Content-Type": kind}};
  const answer = await fetch(path, how).catch(() => { say("The explorer does not answer: it has ended. Start it again with minamo explore."); throw new Error(path); });
  if (!answer.ok) { say(await answer.text()); throw new Error(path); }
  if (path !== "/api/history") $("said").hidden = true;
  return answer;
}
const json = async (...given) => (await ask(...given)).json();
const quiet = (work) => (...given) => work(...given).catch(() => {});
function say(words) { $("said").textContent = words; $("said").hidden = false; }
function make(tag, text, more = {}) { const e = document.createElement(tag); if (text !== undefined) e.textContent = text; return Object.assign(e, more); }

const short = (name) => String(name).length > 36 ? `${String(name).slice(0, 35)}…` : name;
function table(rows, words, head) {
  const made = make("table"), box = make("div", undefined, {className: "wide", tabIndex: 0, role: "region", ariaLabel: words});
  if (head) { const r = made.createTHead().insertRow(); for (const h of head) r.append(make("th", short(h), {scope: "col", title: h})); }
  const body = made.createTBody();
  for (const [name, ...cells] of rows) { const r = body.insertRow(); r.append(make("th", name, {scope: "row"})); for (const c of cells) r.insertCell().textContent = c; }
  box.append(made); return box;
}
const shown = (x, words) => typeof x === "string" ? make("img", undefined, {src: x, alt: words}) : table(x.map((v, j) => [about.columns[j], v]), words, ["column", words]);

function theme(layout) {
  const ink = dark.matches ? "#e3e9ef" : "#1b2733", line = dark.matches ? "#36414c" : "#d8dee4", axis = {gridcolor: line, zerolinecolor: line};
  return {paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: {color: ink, family: "system-ui, sans-serif"}, ...layout,
    xaxis: {...axis, ...layout.xaxis}, yaxis: {...axis, ...layout.yaxis}};
}

// -- z and what it decodes to
function moved() {
  for (const input of $("sliders").querySelectorAll("input")) { const j = input.dataset.latent; input.value = z[j]; input.nextElementSibling.textContent = z[j].toFixed(2); }
  showView(); decode();
}
function tellWhere(near) {
  const where = axes().map((j) => `z${j} = ${z[j].toFixed(2)}`).join(", ");
  const beside = near ? `nearest datum: row ${near.row}${near.label == null ? "" : `, label ${near.label}`}, ${near.distance.toFixed(1)} away` : "no data at hand";
  $("where").textContent = `${where}; ${beside}`;
  const image = $("decoded").querySelector("img");
  if (image) image.alt = `${$("draw").checked ? "A draw" : "The mean"} of x at ${where}; ${beside}`;
  clearTimeout(announcing);  // while one drags nothing is read out
  announcing = setTimeout(() => { $("heard").textContent = `${news}Decoded at ${where}; ${beside}`; news = ""; }, ANNOUNCE);
}
async function decode() {  // one request under way at a time, and the last z wins
  if (waiting) { again = true; return; }
  waiting = true;
  try {
    do { again = false;
      const began = performance.now(), told = await json("/api/decode", {z: [z], draw: $("draw").checked, seed}), [x] = told.shown;
      const old = $("decoded").firstElementChild;
      if (typeof x === "string" && old?.tagName === "IMG") old.src = x; else $("decoded").replaceChildren(shown(x, "decoded"));
      $("decoded").dataset.ms = performance.now() - began;
      tellWhere(told.near[0]);
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
    label.append(input, make("output", z[j].toFixed(2), {ariaHidden: "true"})); return label;
  }));
}

// -- a datum, of the data or one's own
function tell(d, words) {
  const rows = [["log p(x) at least", d.log_p.toFixed(2), `nats, ${d.draws} draws`], ["ELBO", d.elbo.toFixed(2), "nats"], ["J1, reconstruction", d.reconstruction.toFixed(2), "nats"], ["J2, KL", d.kl.toFixed(2), "nats"]];
  if (d.label != null) rows.unshift(["label", d.label, ""]);
  if (d.lower_than != null) rows.push(["surprise", `less likely than ${(100 * d.lower_than).toFixed(0)} %`, `of ${d.compared} of the run's own rows (their log p: ${d.usual[0].toFixed(1)} to ${d.usual[2].toFixed(1)}, 5 % to 95 %)`]);
  for (const j of about.latents.slice(0, 6)) rows.push([`z${j}`, d.z[j].toFixed(3), d.spread ? `± ${d.spread[j].toFixed(3)}` : ""]);
  const pair = about.picture ? [shown(d.datum, "the datum"), shown(d.again, "its reconstruction")]
    : [table(d.datum.map((v, j) => [about.columns[j], v, d.again[j]]), "datum and reconstruction", ["column", "the datum", "its reconstruction"])];
  $("point").replaceChildren(make("h3", words), ...pair, table(rows, words));
  news = `${words}: log p at least ${d.log_p.toFixed(1)} nats${d.lower_than == null ? "" : `, less likely than ${(100 * d.lower_than).toFixed(0)} % of the run's own rows`}. `;
  z = [...d.z]; moved();
}
const showDatum = quiet(async () => { const i = nearest(); if (i >= 0) { const d = await json(`/api/datum?place=${i}`); tell(d, `Row ${d.row}`); } });
const encode = quiet(async (body, kind, words) => tell(await json("/api/encode", body, kind), words));
function listenToOwn() {
  const give = async (file) => {
    if (!file) return;
    if (about.picture && !/\.(csv|txt|tsv)$/i.test(file.name)) await encode(file, file.type.startsWith("image/") ? file.type : "image/unknown", file.name);
    else await encode(await file.text(), "text/plain", file.name);
  };
  const dropped = (data) => { if (data.files.length) give(data.files[0]); else if (data.getData("text")) encode(data.getData("text"), "text/plain", "The row that was dropped"); };
  $("file").onchange = () => give($("file").files[0]);
  for (const on of ["dragover", "dragleave", "drop"]) addEventListener(on, (e) => { e.preventDefault(); $("drop").classList.toggle("over", on === "dragover"); if (on === "drop") dropped(e.dataTransfer); });
  $("row-form").onsubmit = (e) => { e.preventDefault(); encode($("row").value, "text/plain", "Your row"); };
  const pen = $("pad").getContext("2d"), inside = (e) => { const b = $("pad").getBoundingClientRect(); return [e.clientX - b.left, e.clientY - b.top]; };
  Object.assign(pen, {lineWidth: 13, lineCap: "round", lineJoin: "round", strokeStyle: "#fff"});
  const clear = () => { pen.fillStyle = "#000"; pen.fillRect(0, 0, 140, 140); }; clear();
  $("pad").onpointerdown = (e) => { $("pad").setPointerCapture(e.pointerId); pen.beginPath(); pen.moveTo(...inside(e)); pen.lineTo(...inside(e)); pen.stroke(); };
  $("pad").onpointermove = (e) => { if (e.buttons) { pen.lineTo(...inside(e)); pen.stroke(); } };
  $("clear-pad").onclick = clear;
  $("use-pad").onclick = () => $("pad").toBlob((blob) => encode(blob, "image/png", "Your drawing"));
  $("pad-box").hidden = !about.picture || about.shape.length !== 2;
  if (about.picture) $("row").placeholder = `numbers from ${about.range.join(" to ")}, separated by commas`;
  $("drop-words").textContent = about.picture ? "image or row" : "file with a row";
}

// -- paths, samples, downloads
function showSheet(told, words, how) {
  sheet = {...told, ...how}; $("sheet-save").hidden = false; $("sheet-png").hidden = !told.sheet;
  $("sheet").replaceChildren(told.sheet ? make("img", undefined, {src: told.sheet, alt: words}) : table(told.values.map((row, i) => [i + 1, ...row]), words, ["", ...about.columns]));
  $("heard").textContent = `${words}: ${told.n} ${how.draw ? "draws" : "means"} are shown.`;
}
function save(href, name) { const link = make("a", undefined, {href, download: name}); document.body.append(link); link.click(); link.remove(); }
const saveNpz = quiet(async (asked, name) => { const blob = await (await ask("/api/shown.npz", asked)).blob(), url = URL.createObjectURL(blob); save(url, name); setTimeout(() => URL.revokeObjectURL(url), 10000); });
const asDrawn = () => ({draw: $("draw").checked, seed});
function listenToRest() {
  $("draw").onchange = decode; $("again").onclick = () => { seed += 1; $("draw").checked = true; decode(); };
  $("center").onclick = () => { z = [...about.mean]; moved(); };
  $("from").onclick = () => { ends[0] = [...z]; say("The path starts at this z."); };
  $("to").onclick = () => { ends[1] = [...z]; say("The path ends at this z."); };
  $("go").onclick = quiet(async () => { if (!ends[0] || !ends[1]) return say("Say first where the path starts and where it ends."); const how = asDrawn(); showSheet(await json("/api/path", {start: ends[0], end: ends[1], how: $("how").value, steps: 16, ...how}), `Data along ${$("how").selectedOptions[0].text}`, how); });
  $("sample").onclick = quiet(async () => { seed += 1; const how = asDrawn(); showSheet(await json("/api/sample", {n: Number($("n").value), temperature: Number($("temperature").value), ...how}), `Samples from the prior at temperature ${$("temperature").value}`, how); });
  $("save-png").hidden = !about.picture;
  $("save-png").onclick = () => save($("decoded").querySelector("img").src, "decoded.png");
  $("save-npz").onclick = () => saveNpz({z: [z], ...asDrawn()}, "decoded.npz");
  $("sheet-png").onclick = () => save(sheet.sheet, "sheet.png");
  $("sheet-npz").onclick = () => saveNpz({z: sheet.z, draw: sheet.draw, seed: sheet.seed}, "sheet.npz");
}

// -- curves, live
let logged = null;
function drawCurves() {
  if (!logged) return;
  const line = (name, words, color, dash) => logged[name] && {x: logged.epoch, y: logged[name], name: words, mode: logged.epoch.length > 1 ? "lines" : "markers", line: {color, dash}};
  const drawn = [line("elbo", "while training", colors[1], "dot"), line("validation_elbo", "validation", colors[4], "solid"), line("training_elbo", "training rows, afterwards", colors[4], "solid")].filter(Boolean);
  const last = drawn.map((t) => `${t.name} ${t.y.at(-1)?.toFixed(2)}`).join(", ");
  $("curves").ariaLabel = `ELBO by epoch, in nats per datum; at epoch ${logged.epoch.at(-1)}: ${last}`;
  return Plotly.react("curves", drawn, theme({height: 280, margin: MARGIN, xaxis: {title: {text: "epoch"}, dtick: logged.epoch.at(-1) < 12 ? 1 : undefined}, yaxis: {title: {text: "ELBO, nats per datum"}, automargin: true}, legend: {orientation: "h", y: 1.15}}), {...CONFIG, staticPlot: false});
}
const follow = quiet(async () => {
  const told = await json("/api/history");
  logged = told.curves;
  $("state").textContent = told.state;
  $("missing").hidden = !told.missing.length; $("missing").textContent = told.missing.join(" ");
  if (!about.model && told.epochs !== null) await load();
  $("newer").hidden = !about.model || told.epochs === null || told.epochs === about.epochs;
  $("newer").textContent = `show the model of epoch ${told.epochs}`;
  await drawCurves();
  if (!told.ended) setTimeout(follow, POLL);
});

async function load() {  // a model that has come, or a newer one: z and axes stay where they can
  about = await json("/api/about");
  $("name").textContent = document.title = about.name;
  if (!about.model) return;
  const old = z ? axes() : about.latents, first = !z;
  z ??= [...about.mean]; $("space").hidden = false; $("newer").hidden = true; $("shown").textContent = about.shown;
  for (const id of ["a", "b"]) $(id).replaceChildren(...about.latents.map((j) => make("option", `z${j}`, {value: j})));
  $("a").value = old[0]; $("b").value = old[Math.min(1, old.length - 1)];
  makeSliders();
  if (first) { listenToMap(); listenToOwn(); listenToRest(); }
  await drawMap(); moved();
}
(async () => {
  $("newer").onclick = quiet(load);
  dark.addEventListener("change", quiet(async () => { if (about.model) await drawMap(); await drawCurves(); }));
  await load();
  await follow();
  document.body.dataset.ready = "yes";
})().catch(() => {});
