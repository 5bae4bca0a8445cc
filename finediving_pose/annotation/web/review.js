// The review page: which image is shown, what is done to its label, and what is decided.

import { Drafts } from "./drafts.js";
import { ARROWS, arrowStep, runOf, showKeys } from "./keys.js";
import { EMPTY, History, MISSING, OCCLUDED, around, boxMoved, boxed, moved, occluded, removed, same, swapped } from "./label.js";
import { spoken } from "./painting.js";
import { clock, decisionText, showDecisions, showFindings, showJoints, showLabels } from "./panel.js";
import { Queue, SIGNS, text } from "./queue.js";
import { call, forgetPicture, picture, query } from "./session.js";
import { Strip } from "./strip.js";
import { BOX_PARTS, View } from "./view.js";

const BEAT = 5000, CHECK_PAUSE = 350, DIGIT_PAUSE = 700; // ms
const client = crypto.randomUUID?.() ?? String(Math.random());
const part = (id) => document.getElementById(id);

let session, reviewer, queue, strip, view, drafts;
let item = null; // what the server said of the image
let history = null; // its label being edited
let base = null; // the name of the label that was started from
let dive = { image: null, frames: [] };
let findings = [], findingAt = -1;
let hidden = new Set(); // labels that are not shown
let opening = null; // the image that is on its way
let busy = false, shownVersion = -1, asked = 0, checkTimer = null, beatTimer = null, alive = true;
let digit = { text: "", at: 0 };

// ---- start

start().catch((error) => say(error.message, "error"));

async function start() {
  session = await call("/api/session");
  document.title = `Review: ${session.title}`;
  part("title").textContent = session.title;
  showKeys(part("help-keys"));
  queue = new Queue({
    rows: part("rows"), space: part("rows-space"), counts: part("counts"), state: part("filter-state"),
    annotator: part("filter-annotator"), dive: part("filter-dive"), mine: part("filter-mine"),
  }, session.to_review, open);
  strip = new Strip(part("strip"), session, open);
  view = new View(part("canvas"), session, {
    change, select, selectBox, zoom: (scale) => { part("zoom").textContent = `${Math.round(scale * 100)} %`; },
  });
  listen();
  await become(knownReviewer() ?? await askReviewer());
}

const reviewerKey = () => `fdpose-reviewer/${session.project}`;

function knownReviewer() {
  if (session.reviewers.length === 1) return session.reviewers[0];
  const before = sessionStorage.getItem(reviewerKey());
  return session.reviewers.includes(before) ? before : null;
}

async function become(name) {
  reviewer = name;
  sessionStorage.setItem(reviewerKey(), name);
  part("reviewer").textContent = name;
  part("reviewer").disabled = session.reviewers.length === 1;
  drafts = new Drafts(session.project, reviewer, showKept);
  shownVersion = -1;
  await refreshQueue();
  const asked = new URLSearchParams(location.hash.slice(1)).get("image");
  const image = queue.all.some((row) => row.image === asked) ? asked : queue.first;
  if (image) await open(image);
  else empty(queue.all.length ? "Nothing waits for a review. The filter on the left shows the other images." : "This project has no images yet: fdpose frames chooses them.");
  const left = drafts.left().filter((other) => other !== image);
  if (left.length) say(`Work on ${left.length} other image${left.length > 1 ? "s" : ""} is kept in this browser: ${left[0]}`, "warning");
  beat();
}

function askReviewer() {
  return new Promise((chosen) => {
    const dialog = part("who");
    part("who-names").replaceChildren(...session.reviewers.map((name) => {
      const button = text("button", name);
      button.value = name;
      return button;
    }));
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    dialog.addEventListener("close", () => chosen(dialog.returnValue), { once: true });
    dialog.showModal();
  });
}

// ---- one image

async function open(image, note = "") {
  const request = ++asked;
  opening = image;
  queue.select(image); // at once: the next key counts from here
  strip.current = image;
  let answer;
  try {
    answer = await call(query("/api/item", { image, reviewer }));
  } catch (error) {
    if (request === asked) stay(error.message);
    return;
  }
  if (request !== asked) return; // another image was asked for meanwhile
  opening = null;
  hideBanner();
  part("empty").hidden = true;
  const sameDive = item?.image.startsWith(image.slice(0, image.lastIndexOf("/") + 1)) ?? false;
  item = answer;
  hidden = new Set();
  const draft = drafts.newest(image, item.draft);
  begin(draft?.based_on ?? item.newest, draft);
  window.history.replaceState(null, "", `#${new URLSearchParams({ image })}`);
  view.joint = null;
  view.marked.clear();
  showFindingsOf([]);
  const shown = picture(item);
  showItem();
  view.show(item, shown, sameDive);
  say(note || draftNote(draft));
  part("canvas").focus({ preventScroll: true });
  strip.show(dive.frames.some((frame) => frame.image === image) ? dive.frames : [{ ...item, kind: item.state.kind, label: history.now, findings: [] }], image);
  loaded(shown).then(() => {
    if (request !== asked) return;
    afterwards(image, request);
  });
}

// The image that was asked for cannot be had.
function stay(message) {
  opening = null;
  say(message, "error");
  if (!item) return;
  queue.select(item.image);
  strip.current = item.image;
}

function loaded(image) {
  if (image.complete) return Promise.resolve();
  return new Promise((done) => {
    image.addEventListener("load", done, { once: true });
    image.addEventListener("error", () => { forgetPicture(item); done(); }, { once: true });
  });
}

// What need not be there at once: the dive's other frames, the findings, the pictures that come next.
async function afterwards(image, request) {
  view.draw();
  for (const next of [queue.nextOpen(), queue.step(1), queue.step(-1)]) prefetch(next);
  beatSoon();
  try {
    const found = await call(query("/api/dive", { image }));
    if (request !== asked) return;
    dive = { image, frames: found.frames };
    strip.show(dive.frames, image);
    part("strip").dataset.image = image;
    if (history.changed) checkSoon(0);
    else showFindingsOf(dive.frames.find((frame) => frame.image === image)?.findings ?? []);
    for (const by of [1, -1]) prefetch(strip.step(by));
    if (history.changed) strip.edit(history.now);
  } catch (error) {
    if (request === asked) say(error.message, "error");
  }
}

function prefetch(image) {
  const frame = dive.frames.find((entry) => entry.image === image) ?? queue.all.find((row) => row.image === image);
  if (frame?.sha256) picture(frame);
  else if (frame) prefetchItem(image);
}

async function prefetchItem(image) {
  try {
    picture(await call(query("/api/item", { image, reviewer })));
  } catch {
    // it is asked for again when it is opened, and says then what is wrong
  }
}

function begin(name, draft = null) {
  base = item.labels.some((entry) => entry.name === name) ? name : item.newest;
  const from = item.labels.find((entry) => entry.name === base)?.label ?? EMPTY;
  history = new History(from, draft && !same(draft.label, from) ? draft.label : null);
  part("comment").value = draft?.comment ?? "";
  part("confirm").checked = false;
}

function draftNote(draft) {
  if (!draft) return "";
  const changed = !same(draft.seen, item.seen) || draft.decisions !== item.decisions.length;
  return `Your draft of ${clock(draft.when)} is back.${changed ? " Labels or decisions changed since you began it." : ""}`;
}

function showItem() {
  part("where").textContent = item.image;
  part("where").title = `${item.match}, dive ${item.dive}, frame ${item.frame}${item.stage ? `, ${item.stage}` : ""}, ${item.width}×${item.height} px`;
  part("state").textContent = `${SIGNS[item.state.kind]} ${item.state.kind}`;
  part("state").className = `chip ${item.state.kind}`;
  part("notice").textContent = notices().join(" ");
  part("confirm-row").hidden = !unconfirmed();
  showDecisions(part("decisions"), item.decisions);
  showLabel();
}

function notices() {
  const found = [];
  if (item.picture_problem) found.push(`${item.picture_problem}.`);
  if (item.state.reason && item.state.kind !== "returned") found.push(`${item.state.reason}.`);
  const people = new Set(item.labels.filter((entry) => entry.revision === null).map((entry) => entry.by));
  if (people.size === 1 && people.has(reviewer) && !session.allow_own) found.push("Your own label: somebody else reviews it.");
  return found;
}

function unconfirmed() {
  return item.labels.find((entry) => entry.name === base)?.unconfirmed ?? false;
}

// Everything that follows from the label being edited.
function showLabel() {
  view.label = item.labels.length || history.changed ? history.now : null;
  view.others = item.labels.filter((entry) => entry.label && entry.name !== base && !hidden.has(entry.name)).map((entry) => entry.label);
  view.draw();
  showLabels(part("labels"), item, base, { hidden, bySide: view.layers.bySide }, { edit: editFrom, show: showOther });
  showChosen();
  for (const [run, off] of [["undo", !history.past.length], ["redo", !history.future.length], ["discard", !hasDraft()]]) {
    document.querySelector(`[data-run="${run}"]`).disabled = off;
  }
}


function showChosen() {
  const { joint } = view;
  showJoints(part("joints"), session, history.now, joint, (chosen) => { select(chosen); part("canvas").focus(); });
  const point = joint === null ? null : history.now.joints[joint];
  const box = history.now.box;
  part("coordinates").textContent = joint !== null
    ? `${spoken(session.joints[joint])} ${point ? point.map((value) => value.toFixed(2)).join(", ") : "missing: click to place"}`
    : view.handle && box ? `box ${box.map((value) => value.toFixed(1)).join(", ")}` : "";
  view.draw();
}

function empty(message) {
  part("empty").textContent = message;
  part("empty").hidden = false;
}

// ---- editing

function change(label, stroke = null) {
  if (!ready() || !history.put(label, stroke)) return;
  changed();
}

function changed() {
  keepDraft();
  showLabel();
  strip.edit(history.now);
  checkSoon();
}

function keepDraft() {
  drafts.keep(item.image, !hasDraft() ? null : {
    label: history.now,
    comment: part("comment").value,
    based_on: base,
    seen: item.seen,
    decisions: item.decisions.length,
    when: new Date().toISOString(),
  });
}

function hasDraft() {
  return history.changed || part("comment").value !== "";
}

function select(joint) {
  view.joint = joint;
  view.handle = null;
  if (joint !== null && history.now.joints[joint]) view.reveal(history.now.joints[joint]);
  showChosen();
}

function selectBox(handle) {
  [view.joint, view.handle] = [null, handle];
  showChosen();
}

function editFrom(name) {
  if (history.changed && !window.confirm("Drop your changes and start from that label?")) return showLabel();
  const comment = part("comment").value;
  begin(name);
  part("comment").value = comment;
  keepDraft();
  showItem();
  checkSoon(0);
}

function showOther(name, whether) {
  if (whether) hidden.delete(name);
  else hidden.add(name);
  showLabel();
}

function checkSoon(pause = CHECK_PAUSE) {
  clearTimeout(checkTimer);
  const request = asked;
  checkTimer = setTimeout(async () => {
    try {
      const found = await call("/api/check", { image: item.image, label: history.now });
      if (request === asked) showFindingsOf(found.findings);
    } catch (error) {
      if (error.status) console.error(error); // findings are help: without them the work goes on
    }
  }, pause);
}

function showFindingsOf(found) {
  findings = found;
  findingAt = -1;
  view.marked = new Set(found.flatMap((finding) => (finding.joint === null ? finding.pairs.flat() : [finding.joint])));
  view.draw();
  showFindings(part("findings"), part("findings-count"), session, found, {
    choose: (finding) => { select(jointOf(finding)); part("canvas").focus(); },
    swap: (finding) => { change(swapped(history.now, finding.pairs)); part("canvas").focus(); },
  });
}

const jointOf = (finding) => finding.joint ?? finding.pairs[0]?.[0] ?? null;

// ---- deciding

async function decide(action, verb) {
  if (busy || !item) return;
  const sent = {
    reviewer, image: item.image, action, label: base, comment: part("comment").value.trim(), seen: item.seen,
    decisions: item.decisions.length, confirm: part("confirm").checked,
    corrected: action === "correct" ? history.now : null,
  };
  if (action === "return" && base?.startsWith("revisions/")) sent.label = null; // it goes to who labelled it
  busy = true;
  document.body.classList.add("busy");
  try {
    await drafts.settle(item.image);
    const { state } = await call("/api/decision", sent);
    drafts.decided(sent.image);
    decided(sent.image, state, `${sent.image}: ${verb}.`);
  } catch (error) {
    if (hasDraft()) keepDraft();
    if (error.status === 409) conflict(error.message);
    else say(error.status ? error.message : "Nothing was decided: fdpose review does not answer. Your work is kept; try again.", "error");
  } finally {
    busy = false;
    document.body.classList.remove("busy");
  }
}

function decided(image, kind, note) {
  const next = queue.nextOpen();
  queue.setKind(image, kind);
  for (const frame of dive.frames) if (frame.image === image) frame.kind = kind;
  if (next) open(next, note);
  else open(image, `${note} Nothing else waits in this queue.`);
}

// The labels changed, or somebody decided, since this image was opened.
async function conflict(message) {
  let news;
  try {
    news = await call(query("/api/item", { image: item.image, reviewer }));
  } catch (error) {
    return say(error.message, "error");
  }
  if (news.image !== item.image) return;
  const latest = news.decisions.at(-1);
  const by = news.decisions.length > item.decisions.length && latest ? `${decisionText(latest)}${latest.comment ? `: “${latest.comment}”` : "."}` : "";
  part("banner-text").textContent = by || changesBetween(item.seen, news.seen) || `${message.replace(/; look again$/, "")}.`;
  part("banner-buttons").replaceChildren(
    button("Show theirs, keep my draft", () => reopen(news, true)),
    button("Show theirs, drop mine", () => reopen(news, false)),
  );
  part("banner").hidden = false;
  part("banner-buttons").firstChild.focus();
}

function changesBetween(before, after) {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].filter((name) => before[name] !== after[name]);
  const words = names.map((name) => `${name} ${!(name in after) ? "is gone" : name in before ? "changed" : "is new"}`);
  return words.length ? `${words.join("; ")}, since you opened this image.` : "";
}

async function reopen(news, keepMine) {
  const mine = { label: history.now, comment: part("comment").value };
  const { image } = item;
  if (!keepMine) drafts.keep(image, null);
  else {
    item = news; // the draft now refers to what is there now
    base = news.newest;
    history.now = mine.label;
    keepDraft();
  }
  await refreshQueue();
  await open(image, keepMine ? "Your draft is kept; theirs is shown thin. Decide again when you have looked." : "Theirs is shown; yours was dropped.");
}

function hideBanner() {
  part("banner").hidden = true;
}

function button(name, on) {
  const element = text("button", name);
  element.type = "button";
  element.addEventListener("click", on);
  return element;
}

// ---- what others do meanwhile

async function beat() {
  clearTimeout(beatTimer);
  beatTimer = setTimeout(beat, BEAT);
  const image = item?.image ?? null;
  try {
    const { others, version, here } = await call("/api/presence", { reviewer, client, image });
    if (!alive) say("fdpose review answers again.");
    alive = true;
    queue.setOthers(others);
    const who = others.filter((other) => other.image === image).map((other) => other.who);
    part("others").textContent = who.length ? `${who.join(", ")} looks at this image too` : "";
    if (version !== shownVersion) await refreshQueue();
    if (here && item?.image === image && !busy && !opening) noticed(here);
  } catch (error) {
    alive = false;
    showKept({ pending: drafts.pending.size, error });
  }
}

function beatSoon() {
  clearTimeout(beatTimer);
  beatTimer = setTimeout(beat, 300);
}

function noticed(here) {
  const before = Object.entries(item.seen).sort(), now = Object.entries(here.seen).sort();
  if (here.decisions === item.decisions.length && same(before, now)) return;
  if (!part("banner").hidden) return;
  if (hasDraft()) conflict("");
  else open(item.image, "The labels or decisions of this image changed; this is how it stands now.");
}

async function refreshQueue() {
  const { version, rows } = await call(query("/api/queue", { reviewer }));
  shownVersion = version;
  queue.update(rows);
}

function showKept({ pending, error }) {
  const [words, kind] = error
    ? [error.status === 403
      ? "fdpose review was started anew: open the address it printed. Your work is kept in this browser."
      : error.status ? `Not saved: ${error.message}. Kept in this browser; trying again.`
        : "fdpose review does not answer. Your work is kept in this browser; trying again.", "error"]
    : pending ? ["saving …", "muted"] : ["all changes kept", "muted"];
  part("kept").textContent = words;
  part("kept").className = kind;
}

function say(message, kind = "") {
  part("message").textContent = message;
  part("message").className = kind;
}

// ---- keys and buttons

const chosenJoint = (act) => {
  if (view.joint === null) return say("Choose a joint first: click it, press Tab, or its number.", "warning");
  return act(view.joint);
};

const partners = (joint) => session.pairs.filter((pair) => pair.includes(joint));

function limbOf(joint) {
  const legs = session.pairs.slice(0, 3), arms = session.pairs.slice(3);
  return [legs, arms].find((limb) => limb.some((pair) => pair.includes(joint))) ?? [];
}

function swap(pairs, joint) {
  if (!pairs.length) return say(`${spoken(session.joints[joint])} has no other side.`, "warning");
  change(swapped(history.now, pairs));
}

function stepJoint(by) {
  const count = session.joints.length;
  select(view.joint === null ? (by > 0 ? 0 : count - 1) : (view.joint + by + count) % count);
}

function placeJoint(joint) {
  if (history.now.joints[joint]) return say("It has its place already; arrows move it.", "warning");
  const linked = session.limbs.filter((limb) => limb.includes(joint)).map(([a, b]) => history.now.joints[a === joint ? b : a]).find(Boolean);
  const other = partners(joint).map(([a, b]) => history.now.joints[a === joint ? b : a]).find(Boolean);
  change(moved(history.now, joint, linked ?? other ?? view.centre(), item));
  select(joint);
}

function cycleBox() {
  if (!history.now.box) {
    change(boxed(history.now, around(history.now, item), item));
    return selectBox("whole");
  }
  const next = BOX_PARTS[BOX_PARTS.indexOf(view.handle) + 1] ?? null;
  selectBox(view.handle === null ? BOX_PARTS[0] : next);
}

function editOther() {
  const usable = item.labels.filter((entry) => entry.label).map((entry) => entry.name);
  if (usable.length < 2) return say("There is no other label.", "warning");
  editFrom(usable[(usable.indexOf(base) + 1) % usable.length]);
}

function toggle(layer) {
  view.layers[layer] = !view.layers[layer];
  showPressed();
  if (item) showLabel();
}

function showPressed() {
  for (const element of document.querySelectorAll("[data-pressed]")) {
    element.setAttribute("aria-pressed", String(view.layers[element.dataset.pressed]));
  }
}

function undone(done) {
  if (!done) return say("Nothing to take back.", "warning");
  changed();
}

let warned = null; // the image for which sending back was said to drop changes

const RUN = {
  accept: () => {
    if (history.changed) return say("You changed this label: s saves the correction, Ctrl Z takes a change back.", "warning");
    if (!base) return say("There is no usable label to accept.", "warning");
    if (unconfirmed() && !part("confirm").checked) return say("A model's guess: look at every joint, then press u and accept.", "warning");
    return decide("accept", "accepted");
  },
  correct: () => {
    if (!history.changed) return say("Nothing is changed: a accepts the label as it is.", "warning");
    if (unconfirmed() && !part("confirm").checked) return say("A model's guess: look at every other joint too, then press u and save.", "warning");
    return decide("correct", "the correction is saved and approved");
  },
  giveBack: () => {
    if (!part("comment").value.trim()) {
      say("Say in the comment what is to be changed, then Ctrl Enter sends it back.", "warning");
      return part("comment").focus();
    }
    if (history.changed && warned !== item.image) {
      warned = item.image;
      return say("Sending back drops the joints you moved. Press r again to do it, or s to save them instead.", "warning");
    }
    return decide("return", "sent back");
  },
  comment: () => part("comment").focus(),
  confirm: () => { if (!part("confirm-row").hidden) part("confirm").click(); },
  next: () => goTo(queue.step(1), "This is the last image of the queue."),
  previous: () => goTo(queue.step(-1), "This is the first image of the queue."),
  frameBefore: () => goTo(strip.step(-1), "This is the first chosen frame of the dive."),
  frameAfter: () => goTo(strip.step(1), "This is the last chosen frame of the dive."),
  finding: () => {
    if (!findings.length) return say("The checks found nothing here.");
    findingAt = (findingAt + 1) % findings.length;
    const finding = findings[findingAt];
    select(jointOf(finding));
    say(finding.message, finding.severity);
  },
  jointAfter: () => stepJoint(1),
  jointBefore: () => stepJoint(-1),
  jointZero: () => select(0),
  occlude: () => chosenJoint((joint) => {
    if (history.now.visibility[joint] === MISSING) return say("A missing joint: place it first.", "warning");
    change(occluded(history.now, joint));
    say(`${spoken(session.joints[joint])}: ${history.now.visibility[joint] === OCCLUDED ? "occluded" : "visible"}`);
  }),
  removeJoint: () => chosenJoint((joint) => change(removed(history.now, joint))),
  placeJoint: () => chosenJoint(placeJoint),
  swapPair: () => chosenJoint((joint) => swap(partners(joint), joint)),
  swapLimb: () => chosenJoint((joint) => swap(limbOf(joint), joint)),
  swapAll: () => swap(session.pairs, null),
  cycleBox,
  leave: () => {
    if (view.joint !== null || view.handle !== null) return selectBox(null);
    document.activeElement.blur();
  },
  undo: () => undone(history.undo()),
  redo: () => undone(history.redo()),
  fit: () => view.fit(),
  athlete: () => view.athlete(),
  zoomIn: () => view.zoom(1.25),
  zoomOut: () => view.zoom(0.8),
  toggleMine: () => toggle("mine"),
  toggleOthers: () => toggle("others"),
  toggleNames: () => toggle("names"),
  toggleColours: () => toggle("bySide"),
  editOther,
  queueFocus: () => part("filter-state").focus(),
  help: () => part("help").showModal(),
  discard: () => {
    if (!hasDraft() || !window.confirm("Drop your changes to this image?")) return;
    drafts.keep(item.image, null);
    open(item.image, "Your draft was dropped.");
  },
};
const ANY_TIME = new Set(["help", "queueFocus", "next", "previous", "frameBefore", "frameAfter"]);
const DECIDES = new Set(["accept", "correct", "giveBack"]);

function goTo(image, otherwise) {
  if (image) open(image);
  else say(otherwise);
}

// Whether the image that the queue names is the one that is shown: nothing is done to what nobody has seen.
function ready() {
  if (opening) say(`${opening} is on its way.`, "muted");
  return item !== null && !opening && !busy;
}

function run(name) {
  if (!ANY_TIME.has(name) && !ready()) return;
  if (DECIDES.has(name) && !view.picture.complete) return say("The image is not there yet.", "warning");
  RUN[name]();
}

function listen() {
  showPressed();
  for (const element of document.querySelectorAll("[data-run]")) {
    element.addEventListener("click", (event) => {
      run(element.dataset.run);
      // After a click the keys belong to the picture again; who came by Tab stays where they are.
      if (event.detail > 0 && !document.querySelector("dialog[open]") && document.activeElement === element) part("canvas").focus();
    });
  }
  part("reviewer").addEventListener("click", async () => {
    if (session.reviewers.length > 1) await become(await askReviewer());
  });
  part("comment").addEventListener("input", () => { if (ready()) { keepDraft(); showLabel(); } });
  document.addEventListener("keydown", onKey);
  part("rows").addEventListener("keydown", (event) => {
    const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    const image = queue.step(by);
    if (image) open(image).then(() => part("rows").focus());
  });
}

function onKey(event) {
  if (event.defaultPrevented || document.querySelector("dialog[open]")) return;
  if (event.target.matches("textarea")) return inComment(event);
  if (event.target.matches("select, input[type=text]")) {
    if (event.key === "Escape") part("canvas").focus();
    return;
  }
  if (event.target.matches("button, input") && (event.key === "Enter" || event.key === " ")) return;
  const inPicture = event.target === part("canvas") || event.target === document.body;
  if ((event.key === "Tab" || event.key in ARROWS) && !inPicture) return;
  if (event.key === "Tab" && event.target === document.body) return;
  if (event.key in ARROWS && !event.ctrlKey && !event.metaKey) arrow(event);
  else if (/^[1-9]$/.test(event.key) || (/^[0-5]$/.test(event.key) && digit.text === "1" && event.timeStamp - digit.at < DIGIT_PAUSE)) number(event);
  else {
    const name = runOf(event);
    if (name === null) return;
    run(name);
  }
  event.preventDefault();
}

function inComment(event) {
  if (event.key === "Escape") part("canvas").focus();
  else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) run("giveBack");
  else return;
  event.preventDefault();
}

function number(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || !ready()) return;
  const second = digit.text === "1" && event.timeStamp - digit.at < DIGIT_PAUSE && Number(event.key) <= 5;
  select(Number(second ? `1${event.key}` : event.key));
  digit = { text: second ? "" : event.key, at: event.timeStamp };
}

let arrowStroke = { key: "", at: 0, count: 0 };

function arrow(event) {
  if (!ready()) return;
  const [dx, dy] = ARROWS[event.key].map((way) => way * arrowStep(event));
  const what = `${item.image} ${view.joint} ${view.handle}`;
  if (what !== arrowStroke.key || event.timeStamp - arrowStroke.at > 800) arrowStroke = { key: what, count: arrowStroke.count + 1 };
  arrowStroke.at = event.timeStamp;
  const stroke = `arrows ${arrowStroke.count}`;
  const point = view.joint === null ? null : history.now.joints[view.joint];
  if (point) change(moved(history.now, view.joint, [point[0] + dx, point[1] + dy], item), stroke);
  else if (view.handle !== null && history.now.box) change(boxMoved(history.now, view.handle, dx, dy, item), stroke);
  else view.pan(-dx * 40, -dy * 40);
}
