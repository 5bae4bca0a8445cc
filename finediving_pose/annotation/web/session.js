// The server: calls with the token of the address, and who we are.

const token = new URLSearchParams(location.search).get("token") ?? "";

export class CallError extends Error {
  // status 0: no answer at all
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export async function call(path, body, { keepalive = false } = {}) {
  const headers = { "X-Fdpose-Token": token };
  const init = { headers, keepalive, cache: "no-store" };
  if (body !== undefined) {
    Object.assign(init, { method: "POST", body: JSON.stringify(body) });
    headers["Content-Type"] = "application/json";
  }
  let response;
  try {
    response = await fetch(path, init);
  } catch {
    throw new CallError(0, "fdpose review does not answer");
  }
  const answer = await response.json().catch(() => ({ message: `${response.status} ${response.statusText}` }));
  if (!response.ok) throw new CallError(response.status, answer.message);
  return answer;
}

export function query(path, values) {
  return `${path}?${new URLSearchParams(values)}`;
}

const STRIP_WIDTH = 480; // what the server scales a strip's pictures to; a smaller one is the same file

export function pictureAddress(frame, strip = false) {
  const values = { image: frame.image, sha256: frame.sha256 };
  if (strip && Math.max(frame.width, frame.height) > STRIP_WIDTH) values.strip = 1;
  return query("/api/picture", values);
}

const pictures = new Map();
const KEPT_PICTURES = 80;

// A picture that is loaded once and kept for a while; the same call prefetches.
export function picture(frame, strip = false) {
  const address = pictureAddress(frame, strip);
  let image = pictures.get(address);
  if (image === undefined || image.failed) {
    image = new Image();
    image.decoding = "async";
    image.src = address;
    image.onerror = () => { image.failed = true; };
  }
  pictures.delete(address);
  pictures.set(address, image);
  if (pictures.size > KEPT_PICTURES) pictures.delete(pictures.keys().next().value);
  return image;
}

export function forgetPicture(frame) {
  pictures.delete(pictureAddress(frame));
}
