// The picture: zoom, pan, and what the pointer takes hold of.

import { HANDLES, boxMoved, moved } from "./label.js";
import { EDITED_COLOUR, OTHER_COLOUR, paintJoint, paintSkeleton, paintText, spoken } from "./painting.js";

const JOINT_REACH = 10, HANDLE_REACH = 8, BORDER_REACH = 4; // screen px
const LEAST_SCALE = 0.02, MOST_SCALE = 60;
const CURSORS = {
  nw: "nwse-resize", se: "nwse-resize", ne: "nesw-resize", sw: "nesw-resize",
  n: "ns-resize", s: "ns-resize", e: "ew-resize", w: "ew-resize", whole: "move",
};

export class View {
  // on: {change(label, stroke), select(joint), selectBox(handle), zoom()}
  constructor(canvas, body, on) {
    this.canvas = canvas;
    this.body = body;
    this.on = on;
    this.context = canvas.getContext("2d");
    this.layers = { mine: true, others: true, names: false, bySide: true };
    this.frame = null; // {width, height} of the raw picture
    this.picture = null;
    this.label = null;
    this.others = [];
    this.joint = null;
    this.handle = null;
    this.hover = null;
    this.marked = new Set();
    this.mode = "athlete";
    [this.scale, this.x, this.y] = [1, 0, 0];
    this.grip = null;
    this.strokes = 0;
    new ResizeObserver(() => this.#resized()).observe(canvas);
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    canvas.addEventListener("pointerup", (event) => this.#up(event));
    canvas.addEventListener("pointercancel", (event) => this.#up(event));
    canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    canvas.addEventListener("dblclick", () => this.athlete());
  }

  // A new picture; the zoom that a person chose stays within a dive.
  show(frame, picture, keepView) {
    [this.frame, this.picture, this.grip, this.hover] = [frame, picture, null, null];
    this.handle = null;
    if (!picture.complete) picture.addEventListener("load", () => this.draw(), { once: true });
    this.arrange(keepView);
  }

  arrange(keepView = true) {
    if (!this.frame) return;
    if (this.mode === "athlete") this.athlete();
    else if (this.mode === "fit" || !keepView) this.fit();
    this.draw();
  }

  place = ([x, y]) => [(x + 0.5) * this.scale + this.x, (y + 0.5) * this.scale + this.y];

  raw(x, y) {
    return [(x - this.x) / this.scale - 0.5, (y - this.y) / this.scale - 0.5];
  }

  fit() {
    if (!this.frame) return;
    this.mode = "fit";
    this.#to([0, 0, this.frame.width, this.frame.height], 12);
  }

  athlete() {
    if (!this.frame) return;
    const area = this.#athleteArea();
    if (!area) {
      this.fit();
      this.mode = "athlete"; // the next picture may have one
      return;
    }
    this.mode = "athlete";
    this.#to(area, 24);
  }

  zoom(factor, x = this.width / 2, y = this.height / 2) {
    const scale = Math.min(Math.max(this.scale * factor, LEAST_SCALE), MOST_SCALE);
    this.x = x - ((x - this.x) * scale) / this.scale;
    this.y = y - ((y - this.y) * scale) / this.scale;
    this.scale = scale;
    this.mode = "free";
    this.draw();
  }

  pan(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.mode = "free";
    this.draw();
  }

  // Bring a point into sight.
  reveal(point) {
    const [x, y] = this.place(point);
    if (x > 20 && y > 20 && x < this.width - 20 && y < this.height - 20) return;
    this.pan(this.width / 2 - x, this.height / 2 - y);
  }

  centre() {
    return this.raw(this.width / 2, this.height / 2);
  }

  get width() {
    return this.canvas.clientWidth;
  }

  get height() {
    return this.canvas.clientHeight;
  }

  draw() {
    if (this.wanted) return;
    this.wanted = requestAnimationFrame(() => {
      this.wanted = null;
      this.#paint();
    });
  }

  #to([x1, y1, x2, y2], margin) {
    const room = [Math.max(this.width - 2 * margin, 10), Math.max(this.height - 2 * margin, 10)];
    this.scale = Math.min(room[0] / (x2 - x1), room[1] / (y2 - y1), MOST_SCALE);
    this.x = this.width / 2 - ((x1 + x2) / 2) * this.scale;
    this.y = this.height / 2 - ((y1 + y2) / 2) * this.scale;
    this.draw();
  }

  #athleteArea() {
    const points = [this.label, ...this.others].filter(Boolean).flatMap((label) => [
      ...label.joints.filter(Boolean),
      ...(label.box ? [label.box.slice(0, 2), label.box.slice(2)] : []),
    ]);
    if (!points.length) return null;
    const xs = points.map((point) => point[0]), ys = points.map((point) => point[1]);
    const area = [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
    const margin = 0.15 * Math.max(area[2] - area[0], area[3] - area[1], 8);
    return [area[0] - margin, area[1] - margin, area[2] + margin, area[3] + margin];
  }

  #resized() {
    const density = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(this.width * density);
    this.canvas.height = Math.round(this.height * density);
    this.arrange();
    this.#paint(); // at once: a resized canvas is blank
  }

  #paint() {
    const { context } = this;
    const density = window.devicePixelRatio || 1;
    context.setTransform(density, 0, 0, density, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    if (!this.frame) return;
    this.#paintPicture();
    if (this.layers.others) {
      for (const label of this.others) {
        if (label.box) this.#paintBox(label.box, OTHER_COLOUR, 1);
        paintSkeleton(context, this.body, label, this.place, {
          width: 1.4, radius: 2.5, colour: OTHER_COLOUR, dashed: true,
        });
      }
    }
    if (this.label && this.layers.mine) this.#paintMine();
    this.on.zoom(this.scale);
  }

  #paintPicture() {
    const { context, picture } = this;
    const [width, height] = [this.frame.width * this.scale, this.frame.height * this.scale];
    if (picture.complete && picture.naturalWidth) {
      context.imageSmoothingEnabled = this.scale < 12;
      context.imageSmoothingQuality = "high";
      context.drawImage(picture, this.x, this.y, width, height);
      if (this.canvas.dataset.shown !== this.frame.image) this.canvas.dataset.shown = this.frame.image;
    } else {
      context.fillStyle = "#202428";
      context.fillRect(this.x, this.y, width, height);
      if (picture.failed) paintText(context, "the image cannot be shown", this.x + 16, this.y + 24);
    }
  }

  #paintMine() {
    const { context, body, label } = this;
    const colour = this.layers.bySide ? null : EDITED_COLOUR;
    if (label.box) {
      this.#paintBox(label.box, this.handle === "whole" ? "#ffffff" : "#e8eaed", this.handle === "whole" ? 2 : 1.2);
      for (const [name, [x, y]] of this.#handles()) {
        const size = name === this.handle || name === this.grip?.handle ? 9 : 6;
        context.fillStyle = name === this.handle ? "#ffffff" : "#e8eaed";
        context.strokeStyle = "#000000b0";
        context.lineWidth = 1;
        context.fillRect(x - size / 2, y - size / 2, size, size);
        context.strokeRect(x - size / 2, y - size / 2, size, size);
      }
    }
    paintSkeleton(context, body, label, this.place, { width: 2.6, radius: 4.5, colour });
    for (const joint of this.marked) if (label.joints[joint]) this.#ring(label.joints[joint], 9, "#ff6b5e", [3, 3]);
    for (const joint of [this.hover, this.joint]) {
      if (joint === null || !label.joints[joint]) continue;
      paintJoint(context, this.place(label.joints[joint]), 5.5, colour ?? body.colours[joint], label.visibility[joint]);
      if (joint === this.joint) this.#ring(label.joints[joint], 9, "#ffffff", []);
    }
    this.#paintNames();
  }

  #paintNames() {
    const taken = [];
    this.label.joints.forEach((point, joint) => {
      if (!point || !(this.layers.names || joint === this.hover || joint === this.joint)) return;
      let [x, y] = this.place(point);
      while (taken.some(([otherX, otherY]) => Math.abs(otherX - x) < 90 && Math.abs(otherY - y) < 14)) y += 14;
      taken.push([x, y]);
      paintText(this.context, `${joint} ${spoken(this.body.joints[joint])}`, x + 13, y);
    });
  }

  #ring(point, radius, colour, dash) {
    const [x, y] = this.place(point);
    this.context.setLineDash(dash);
    this.context.lineWidth = 2;
    this.context.strokeStyle = colour;
    this.context.beginPath();
    this.context.arc(x, y, radius, 0, 2 * Math.PI);
    this.context.stroke();
    this.context.setLineDash([]);
  }

  #paintBox(box, colour, width) {
    const [x1, y1] = this.place(box), [x2, y2] = this.place(box.slice(2));
    this.context.lineWidth = width;
    this.context.strokeStyle = colour;
    this.context.strokeRect(x1, y1, x2 - x1, y2 - y1);
  }

  #handles() {
    const [x1, y1, x2, y2] = this.label.box;
    const [mx, my] = [(x1 + x2) / 2, (y1 + y2) / 2];
    const at = {
      nw: [x1, y1], n: [mx, y1], ne: [x2, y1], e: [x2, my], se: [x2, y2], s: [mx, y2], sw: [x1, y2], w: [x1, my],
    };
    return Object.entries(at).map(([name, point]) => [name, this.place(point)]);
  }

  #jointsAt(x, y) {
    if (!this.label || !this.layers.mine) return [];
    return this.label.joints
      .map((point, joint) => [joint, point ? Math.hypot(...this.place(point).map((v, i) => v - [x, y][i])) : Infinity])
      .filter(([, distance]) => distance < JOINT_REACH)
      .sort((a, b) => a[1] - b[1])
      .map(([joint]) => joint);
  }

  #handleAt(x, y) {
    if (!this.label?.box || !this.layers.mine) return null;
    const near = this.#handles().find(([, [hx, hy]]) => Math.hypot(hx - x, hy - y) < HANDLE_REACH);
    if (near) return near[0];
    const [x1, y1] = this.place(this.label.box), [x2, y2] = this.place(this.label.box.slice(2));
    const inside = x > x1 - BORDER_REACH && x < x2 + BORDER_REACH && y > y1 - BORDER_REACH && y < y2 + BORDER_REACH;
    const within = x > x1 + BORDER_REACH && x < x2 - BORDER_REACH && y > y1 + BORDER_REACH && y < y2 - BORDER_REACH;
    return inside && !within ? "whole" : null;
  }

  #down(event) {
    if (!this.frame || event.button > 1) return;
    this.canvas.focus();
    this.canvas.setPointerCapture(event.pointerId);
    const [x, y] = [event.offsetX, event.offsetY];
    this.strokes += 1;
    const grip = { x, y, stroke: `drag ${this.strokes}`, from: [x, y], moved: false };
    const joints = event.button === 0 ? this.#jointsAt(x, y) : [];
    if (joints.length) {
      const joint = joints.includes(this.joint) ? this.joint : joints[0];
      this.grip = { ...grip, kind: "joint", joint, under: joints, again: joint === this.joint, start: this.label.joints[joint] };
      if (joint !== this.joint) this.on.select(joint);
      return;
    }
    const handle = event.button === 0 ? this.#handleAt(x, y) : null;
    if (handle) {
      this.grip = { ...grip, kind: "box", handle, start: this.label };
      this.on.selectBox(handle);
      return;
    }
    this.grip = { ...grip, kind: "pan", left: event.button === 0 };
  }

  #move(event) {
    const [x, y] = [event.offsetX, event.offsetY];
    const { grip } = this;
    if (!grip) return this.#hovered(x, y);
    if (!grip.moved && Math.hypot(x - grip.from[0], y - grip.from[1]) < 3) return;
    grip.moved = true;
    const [dx, dy] = [(x - grip.from[0]) / this.scale, (y - grip.from[1]) / this.scale];
    if (grip.kind === "joint") {
      this.on.change(moved(this.label, grip.joint, [grip.start[0] + dx, grip.start[1] + dy], this.frame), grip.stroke);
    } else if (grip.kind === "box") {
      this.on.change(boxMoved({ ...this.label, box: grip.start.box }, grip.handle, dx, dy, this.frame), grip.stroke);
    } else {
      this.canvas.style.cursor = "grabbing";
      this.pan(x - grip.x, y - grip.y);
    }
    [grip.x, grip.y] = [x, y];
  }

  #up(event) {
    const { grip } = this;
    this.grip = null;
    if (!grip) return;
    if (!grip.moved && event.type === "pointerup") this.#clicked(grip);
    this.#hovered(event.offsetX, event.offsetY);
  }

  #clicked(grip) {
    if (grip.kind === "joint" && grip.again && grip.under.length > 1) {
      this.on.select(grip.under[(grip.under.indexOf(grip.joint) + 1) % grip.under.length]);
    } else if (grip.kind === "pan" && grip.left && this.label) {
      const joint = this.joint;
      const point = this.raw(...grip.from);
      if (joint !== null && !this.label.joints[joint] && this.#inside(point)) {
        this.on.change(moved(this.label, joint, point, this.frame), null);
      } else {
        this.on.select(null);
      }
    }
  }

  #inside([x, y]) {
    return x >= -0.5 && y >= -0.5 && x <= this.frame.width && y <= this.frame.height;
  }

  #hovered(x, y) {
    const joint = this.#jointsAt(x, y)[0] ?? null;
    const handle = joint === null ? this.#handleAt(x, y) : null;
    const placing = this.joint !== null && this.label && !this.label.joints[this.joint];
    this.canvas.style.cursor = joint !== null ? "pointer" : handle ? CURSORS[handle] : placing ? "crosshair" : "grab";
    if (joint !== this.hover) {
      this.hover = joint;
      this.draw();
    }
  }

  #wheel(event) {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 30 : 1;
    this.zoom(Math.exp(-event.deltaY * lines * 0.0015), event.offsetX, event.offsetY);
  }
}

export const BOX_PARTS = ["whole", ...Object.keys(HANDLES).filter((name) => name !== "whole")];
