// A label and what can be done to it. Points are [x, y] in px of the raw picture, null = missing; nothing is changed in
// place, so that undo needs only the earlier labels.

export const MISSING = 0, OCCLUDED = 1, VISIBLE = 2;

export const EMPTY = {
  joints: Array(16).fill(null),
  visibility: Array(16).fill(MISSING),
  box: null,
  box_estimated: false,
};

const round = (value) => Math.round(value * 100) / 100;
const clamp = (value, most) => Math.min(Math.max(value, 0), most);

export function moved(label, joint, [x, y], size) {
  const joints = label.joints.slice();
  const visibility = label.visibility.slice();
  joints[joint] = [round(clamp(x, size.width - 1)), round(clamp(y, size.height - 1))];
  if (visibility[joint] === MISSING) visibility[joint] = VISIBLE;
  return { ...label, joints, visibility };
}

export function removed(label, joint) {
  const joints = label.joints.slice();
  const visibility = label.visibility.slice();
  joints[joint] = null;
  visibility[joint] = MISSING;
  return { ...label, joints, visibility };
}

export function occluded(label, joint) {
  const visibility = label.visibility.slice();
  visibility[joint] = visibility[joint] === OCCLUDED ? VISIBLE : OCCLUDED;
  return { ...label, visibility };
}

export function swapped(label, pairs) {
  const joints = label.joints.slice();
  const visibility = label.visibility.slice();
  for (const [a, b] of pairs) {
    [joints[a], joints[b]] = [joints[b], joints[a]];
    [visibility[a], visibility[b]] = [visibility[b], visibility[a]];
  }
  return { ...label, joints, visibility };
}

export function boxed(label, [x1, y1, x2, y2], size) {
  const left = clamp(Math.min(x1, x2), size.width - 1), top = clamp(Math.min(y1, y2), size.height - 1);
  const right = clamp(Math.max(x1, x2), size.width), bottom = clamp(Math.max(y1, y2), size.height);
  const box = [left, top, Math.max(right, left + 1), Math.max(bottom, top + 1)].map(round);
  return { ...label, box, box_estimated: false };
}

// Which of a box's four numbers each handle moves.
export const HANDLES = {
  nw: [1, 1, 0, 0], n: [0, 1, 0, 0], ne: [0, 1, 1, 0], e: [0, 0, 1, 0],
  se: [0, 0, 1, 1], s: [0, 0, 0, 1], sw: [1, 0, 0, 1], w: [1, 0, 0, 0],
  whole: [1, 1, 1, 1],
};

export function boxMoved(label, handle, dx, dy, size) {
  let [stepX, stepY] = [dx, dy];
  const box = label.box;
  if (handle === "whole") { // it stops at the border as it is
    stepX = Math.min(Math.max(dx, -box[0]), size.width - box[2]);
    stepY = Math.min(Math.max(dy, -box[1]), size.height - box[3]);
  }
  const moves = HANDLES[handle];
  return boxed(label, box.map((value, at) => value + moves[at] * (at % 2 ? stepY : stepX)), size);
}

export function around(label, size) {
  const points = label.joints.filter(Boolean);
  if (!points.length) return [size.width * 0.25, size.height * 0.25, size.width * 0.75, size.height * 0.75];
  const xs = points.map((point) => point[0]), ys = points.map((point) => point[1]);
  const margin = 0.05 * Math.max(Math.max(...xs) - Math.min(...xs), Math.max(...ys) - Math.min(...ys)) + 2;
  return [Math.min(...xs) - margin, Math.min(...ys) - margin, Math.max(...xs) + margin, Math.max(...ys) + margin];
}

export function same(a, b) {
  return JSON.stringify(a) === JSON.stringify(b);
}

// The label being edited, with the way back. Changes of one `stroke`, such as one drag or quick arrow keys, are one step.
export class History {
  constructor(base, draft = null) {
    this.base = base;
    this.past = draft ? [base] : [];
    this.now = draft ?? base;
    this.future = [];
    this.stroke = null;
  }

  get changed() {
    return !same(this.now, this.base);
  }

  put(label, stroke = null) {
    if (same(label, this.now)) return false;
    if (stroke === null || stroke !== this.stroke) this.past.push(this.now);
    this.stroke = stroke;
    this.future = [];
    this.now = label;
    return true;
  }

  undo() {
    return this.#step(this.past, this.future);
  }

  redo() {
    return this.#step(this.future, this.past);
  }

  #step(from, to) {
    if (!from.length) return false;
    to.push(this.now);
    this.now = from.pop();
    this.stroke = null;
    return true;
  }
}
