// The right-hand side: whose labels there are, the joints, what the checks found, what was decided.

import { MISSING, OCCLUDED } from "./label.js";
import { EDITED_COLOUR, OTHER_COLOUR, spoken } from "./painting.js";
import { text } from "./queue.js";

// Right beside left, from the head down, as the body is seen.
const ORDER = [9, 8, 7, 6, 12, 13, 11, 14, 10, 15, 2, 3, 1, 4, 0, 5];

function labelTitle(entry) {
  return entry.revision === null ? entry.by : `revision ${entry.revision} by ${entry.by}`;
}

// on: {edit(name), show(name, whether)}
export function showLabels(element, item, base, { hidden, bySide }, on) {
  element.replaceChildren(...item.labels.map((entry) => {
    const row = document.createElement("div");
    row.className = "label-row";
    const edit = input("radio", entry.name === base, () => on.edit(entry.name));
    edit.name = "edited";
    edit.disabled = !entry.label;
    edit.title = "Edit this one";
    const show = input("checkbox", entry.name === base || !hidden.has(entry.name), () => on.show(entry.name, show.checked));
    show.disabled = !entry.label || entry.name === base;
    show.title = "Show it";
    const swatch = text("span", "", entry.name === base && bySide ? "swatch sides" : "swatch");
    if (entry.name !== base) swatch.style.background = entry.label ? OTHER_COLOUR : "transparent";
    else if (!bySide) swatch.style.background = EDITED_COLOUR;
    const name = document.createElement("label");
    name.append(edit, swatch, text("span", labelTitle(entry), "name"));
    row.append(name, show);
    row.title = entry.name;
    const note = entry.label ? (entry.unconfirmed ? "a model's guess" : "") : "not usable";
    if (note) name.append(text("span", note, "warning"));
    if (!entry.label) row.append(text("p", entry.problems.join("; "), "error"));
    return row;
  }));
  if (!item.labels.length) element.replaceChildren(text("p", "Nobody has labelled this image yet.", "muted"));
}

export function showJoints(element, body, label, chosen, on) {
  if (element.children.length !== ORDER.length) {
    element.replaceChildren(...ORDER.map((joint) => {
      const button = document.createElement("button");
      button.type = "button";
      button.dataset.joint = joint;
      button.addEventListener("click", () => on(joint));
      button.append(text("span", "", "mark"), text("span", spoken(body.joints[joint]), "name"), text("kbd", String(joint)));
      button.querySelector(".mark").style.color = body.colours[joint];
      return button;
    }));
  }
  for (const button of element.children) {
    const joint = Number(button.dataset.joint);
    const seen = label ? label.visibility[joint] : MISSING;
    const [mark, word] = seen === MISSING ? ["–", "missing"] : seen === OCCLUDED ? ["◌", "occluded"] : ["●", "visible"];
    button.querySelector(".mark").textContent = mark;
    button.classList.toggle("missing", seen === MISSING);
    button.setAttribute("aria-pressed", String(joint === chosen));
    button.title = `${spoken(body.joints[joint])}: ${word}`;
  }
}

export const SEVERITY_SIGNS = { error: "✖", warning: "▲" };

// on: {choose(finding), swap(finding)}
export function showFindings(element, count, body, findings, on) {
  count.textContent = findings.length ? String(findings.length) : "";
  if (!findings.length) {
    element.replaceChildren(text("li", "Nothing found.", "muted"));
    return;
  }
  element.replaceChildren(...findings.map((finding) => {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.className = "finding";
    const joint = finding.joint === null ? "" : `${spoken(body.joints[finding.joint])}: `;
    button.append(
      text("span", SEVERITY_SIGNS[finding.severity], finding.severity),
      text("span", `${joint}${finding.message}`),
    );
    button.addEventListener("click", () => on.choose(finding));
    item.append(button);
    if (finding.swap) {
      const fix = text("button", `Swap ${finding.pairs.length === 6 ? "all" : "these"} sides`);
      fix.type = "button";
      fix.addEventListener("click", () => on.swap(finding));
      item.append(fix);
    }
    return item;
  }));
}

const ACTIONS = { accept: "accepted", correct: "corrected", return: "sent back" };

export function showDecisions(element, decisions) {
  if (!decisions.length) {
    element.replaceChildren(text("li", "None yet.", "muted"));
    return;
  }
  element.replaceChildren(...[...decisions].reverse().map((decision) => {
    const item = document.createElement("li");
    item.append(text("span", `${decision.who} ${ACTIONS[decision.action]}`, "name"), text("span", ` ${clock(decision.when)}`, "muted"));
    item.title = `${decision.label}\nSHA-256 ${decision.label_sha256}`;
    if (decision.comment) item.append(text("p", decision.comment));
    return item;
  }));
}

export function decisionText(decision) {
  return `${decision.who} ${ACTIONS[decision.action]} it, ${clock(decision.when)}`;
}

export function clock(when) {
  return new Date(when).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

function input(type, checked, on) {
  const element = document.createElement("input");
  element.type = type;
  element.checked = checked;
  element.addEventListener("change", on);
  return element;
}
