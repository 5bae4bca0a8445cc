// The frames of the dive beside the one shown, small, with their skeletons.

import { paintSkeleton } from "./painting.js";
import { SEVERITY_SIGNS } from "./panel.js";
import { SIGNS, text } from "./queue.js";
import { picture } from "./session.js";

const TILE = 132, WIDTH = 120, HEIGHT = 68; // px, as in review.css

export class Strip {
  constructor(element, body, on) {
    Object.assign(this, { element, body, on, frames: [], current: null, edited: null });
    new ResizeObserver(() => this.draw()).observe(element);
    element.addEventListener("click", (event) => {
      const image = event.target.closest?.("button")?.dataset.image;
      if (image !== undefined) this.on(image);
    });
  }

  show(frames, image) {
    [this.frames, this.current, this.edited] = [frames, image, null];
    this.draw();
  }

  // The label being edited, drawn in its own tile.
  edit(label) {
    this.edited = label;
    const canvas = this.element.querySelector("[aria-current] canvas");
    const frame = this.frames.find((entry) => entry.image === this.current);
    if (canvas && frame) this.#paint(canvas, frame, label);
  }

  step(by) {
    const at = this.frames.findIndex((frame) => frame.image === this.current);
    return at < 0 ? null : this.frames[at + by]?.image ?? null;
  }

  draw() {
    const at = this.frames.findIndex((frame) => frame.image === this.current);
    const room = Math.max(1, Math.floor((this.element.clientWidth - 8) / TILE));
    const from = Math.max(0, Math.min(at - Math.floor(room / 2), this.frames.length - room));
    this.element.replaceChildren(...this.frames.slice(from, from + room).map((frame) => this.#tile(frame)));
  }

  #tile(frame) {
    const tile = document.createElement("button");
    tile.type = "button";
    tile.tabIndex = -1; // , and . do the same
    tile.dataset.image = frame.image;
    tile.title = `${frame.image}: ${frame.kind}`;
    if (frame.image === this.current) tile.setAttribute("aria-current", "true");
    const canvas = document.createElement("canvas");
    const worst = frame.findings.some((finding) => finding.severity === "error") ? "error" : "warning";
    const caption = text("span", `${SIGNS[frame.kind]} ${frame.frame}`, "caption");
    if (frame.findings.length) caption.append(text("span", `  ${SEVERITY_SIGNS[worst]}${frame.findings.length}`, worst));
    tile.append(canvas, caption);
    this.#paint(canvas, frame, frame.image === this.current ? this.edited ?? frame.label : frame.label);
    return tile;
  }

  #paint(canvas, frame, label) {
    const image = picture(frame, true);
    const paint = () => {
      const density = window.devicePixelRatio || 1;
      canvas.width = Math.round(WIDTH * density);
      canvas.height = Math.round(HEIGHT * density);
      const context = canvas.getContext("2d");
      const [scale, left, top] = this.#section(frame, label);
      context.scale(density, density);
      if (image.naturalWidth) context.drawImage(image, left, top, frame.width * scale, frame.height * scale);
      const place = ([x, y]) => [(x + 0.5) * scale + left, (y + 0.5) * scale + top];
      if (label) paintSkeleton(context, this.body, label, place, { width: 1.5, radius: 0 });
    };
    if (image.complete) paint();
    else image.addEventListener("load", paint, { once: true });
  }

  // The part of the picture around the athlete, at one scale for the whole dive: swapped sides stand out.
  #section(frame, label) {
    const whole = Math.min(WIDTH / frame.width, HEIGHT / frame.height);
    const box = label?.box;
    if (!box) return [whole, (WIDTH - frame.width * whole) / 2, (HEIGHT - frame.height * whole) / 2];
    const sides = this.frames.flatMap(({ label: other }) => (other?.box ? [other.box[2] - other.box[0], other.box[3] - other.box[1]] : []));
    const scale = Math.max(HEIGHT / (1.25 * Math.max(...sides, 1)), whole);
    return [scale, WIDTH / 2 - ((box[0] + box[2]) / 2) * scale, HEIGHT / 2 - ((box[1] + box[3]) / 2) * scale];
  }
}
