// Every key of the page: one table, which the page obeys and the help shows.

export const KEYS = [
  ["Decide", [
    [["a"], "accept", "accept the label as it is, and go on"],
    [["s"], "correct", "save the corrected label as a new revision, and go on"],
    [["r"], "giveBack", "send back to its annotator with the comment"],
    [["c"], "comment", "write a comment (Esc leaves it)"],
    [["u"], "confirm", "a model's guess: I have looked at every joint"],
    [["n"], "next", "next image of the queue"],
    [["p"], "previous", "previous image of the queue"],
    [[",", "PageUp"], "frameBefore", "frame before, of the same dive"],
    [[".", "PageDown"], "frameAfter", "frame after, of the same dive"],
    [["i"], "finding", "next finding: its joint is chosen"],
  ]],
  ["Joints", [
    [["Tab"], "jointAfter", "choose the next joint (in the image)"],
    [["Shift+Tab"], "jointBefore", "choose the joint before"],
    [["1–9", "1 0 … 1 5"], null, "choose a joint by its number; ` chooses 0"],
    [["`"], "jointZero", null],
    [["←↑→↓"], null, "move the joint by 1 px; without a joint, the image"],
    [["Shift+←↑→↓"], null, "by 10 px"],
    [["Alt+←↑→↓"], null, "by a quarter px"],
    [["o"], "occlude", "occluded, or visible again"],
    [["Delete", "Backspace"], "removeJoint", "remove the joint"],
    [["Enter"], "placeJoint", "place a missing joint; a click in the image does it too"],
    [["x"], "swapPair", "swap left and right of the joint"],
    [["l"], "swapLimb", "swap both legs, or both arms, of the joint"],
    [["Shift+X"], "swapAll", "swap left and right of the whole body"],
    [["b"], "cycleBox", "box: whole, then each handle; arrows move it"],
    [["Escape"], "leave", "let go of the joint; then leave the image"],
    [["Ctrl+Z"], "undo", "undo"],
    [["Ctrl+Y", "Ctrl+Shift+Z"], "redo", "redo"],
  ]],
  ["View", [
    [["0", "f"], "fit", "the whole image"],
    [["z"], "athlete", "the athlete"],
    [["+", "="], "zoomIn", "closer"],
    [["-"], "zoomOut", "farther"],
    [["m"], "toggleMine", "show or hide the edited skeleton"],
    [["v"], "toggleOthers", "show or hide the others"],
    [["e"], "editOther", "edit the next label instead"],
    [["t"], "toggleNames", "names of all joints"],
    [["k"], "toggleColours", "colours by side, or one colour"],
    [["q"], "queueFocus", "to the filters of the queue"],
    [["?"], "help", "these keys"],
  ]],
];

const RUNS = new Map(KEYS.flatMap(([, keys]) => keys.flatMap(([names, run]) => (run ? names.map((name) => [name, run]) : []))));

// The name of a key press as the table writes it.
export function pressed(event) {
  const key = event.key.length === 1 && /[A-Z]/i.test(event.key)
    ? (event.shiftKey ? event.key.toUpperCase() : event.key.toLowerCase())
    : event.key;
  const shift = event.shiftKey && (key.length > 1 || /[A-Z]/.test(key));
  return `${event.ctrlKey || event.metaKey ? "Ctrl+" : ""}${shift ? "Shift+" : ""}${event.ctrlKey ? key.toUpperCase() : key}`;
}

export function runOf(event) {
  return event.altKey ? null : RUNS.get(pressed(event)) ?? null;
}

export const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export function arrowStep(event) {
  return event.altKey ? 0.25 : event.shiftKey ? 10 : 1;
}

export function showKeys(element) {
  element.replaceChildren(...KEYS.map(([title, keys]) => {
    const section = document.createElement("section");
    const heading = document.createElement("h3");
    heading.textContent = title;
    const list = document.createElement("dl");
    for (const [names, , does] of keys) {
      if (!does) continue;
      const term = document.createElement("dt"), detail = document.createElement("dd");
      names.forEach((name, at) => {
        if (at) term.append(" ");
        const key = document.createElement("kbd");
        key.textContent = name;
        term.append(key);
      });
      detail.textContent = does;
      list.append(term, detail);
    }
    section.append(heading, list);
    return section;
  }));
}
