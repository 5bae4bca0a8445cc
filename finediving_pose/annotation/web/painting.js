// Skeletons and boxes on a canvas. A point (x, y) is the centre of a pixel: `place` maps it to the screen.

import { OCCLUDED } from "./label.js";

export const OTHER_COLOUR = "#ff5fd2", EDITED_COLOUR = "#ffd84a";

export function paintSkeleton(context, body, label, place, { width, radius, colour = null, dashed = false }) {
  context.lineCap = "round";
  context.lineWidth = width;
  for (const [a, b] of body.limbs) {
    if (!label.joints[a] || !label.joints[b]) continue;
    const [x1, y1] = place(label.joints[a]), [x2, y2] = place(label.joints[b]);
    const outer = [a, b].find((joint) => sideOf(body, joint)) ?? a;
    context.strokeStyle = colour ?? body.colours[outer];
    context.setLineDash(dashed && sideOf(body, outer) === "left" ? [width * 3, width * 3] : []);
    context.beginPath();
    context.moveTo(x1, y1);
    context.lineTo(x2, y2);
    context.stroke();
  }
  context.setLineDash([]);
  label.joints.forEach((point, joint) => {
    if (point && radius) paintJoint(context, place(point), radius, colour ?? body.colours[joint], label.visibility[joint]);
  });
}

export function paintJoint(context, [x, y], radius, colour, visibility) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  if (visibility === OCCLUDED) {
    context.fillStyle = "#0c0d0ecc";
    context.fill();
    context.lineWidth = Math.max(1.5, radius / 2.5);
    context.strokeStyle = colour;
    context.stroke();
    return;
  }
  context.fillStyle = colour;
  context.fill();
  context.lineWidth = 1;
  context.strokeStyle = "#000000b0";
  context.stroke();
}

export function sideOf(body, joint) {
  const side = body.joints[joint].split("_")[0];
  return side === "left" || side === "right" ? side : null;
}

export function paintText(context, text, x, y) {
  context.font = "12px system-ui, sans-serif";
  context.textBaseline = "middle";
  context.lineWidth = 3;
  context.lineJoin = "round";
  context.strokeStyle = "#000000d0";
  context.strokeText(text, x, y);
  context.fillStyle = "#ffffff";
  context.fillText(text, x, y);
}

export const spoken = (joint) => joint.replace("_", " ");
