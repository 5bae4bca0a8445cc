// Unsaved work: kept in the browser at once, sent to the project's folder a moment later, and again until it is there.

import { call } from "./session.js";

const PAUSE = 250, AGAIN = 2000; // ms

export class Drafts {
  // on({pending, error}): how many drafts are not on disk yet, and why
  constructor(project, reviewer, on) {
    this.prefix = `fdpose-draft/${project}/${reviewer}/`;
    this.reviewer = reviewer;
    this.on = on;
    this.pending = new Map(); // image → draft that is not on disk yet; null: to be forgotten
    this.sending = null;
    this.timer = null;
    window.addEventListener("pagehide", () => this.#leave());
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "hidden") this.#leave();
    });
  }

  // draft null: forget what was kept.
  keep(image, draft) {
    this.#local(image, draft);
    this.pending.set(image, draft);
    this.#tell();
    this.#later(PAUSE);
  }

  // The newer of what the server and this browser have.
  newest(image, fromServer) {
    if (this.pending.has(image)) return this.pending.get(image);
    const kept = this.#read(image);
    if (!kept) return fromServer;
    return fromServer && fromServer.when >= kept.when ? fromServer : kept;
  }

  // Images with work that never reached the server.
  left() {
    return Object.keys(localStorage).filter((key) => key.startsWith(this.prefix)).map((key) => key.slice(this.prefix.length));
  }

  // Wait for what is on its way, so that it does not arrive after a decision.
  async settle(image) {
    this.pending.delete(image);
    await this.sending;
    this.pending.delete(image);
  }

  decided(image) {
    this.pending.delete(image);
    localStorage.removeItem(this.prefix + image);
    this.#tell();
  }

  #later(pause) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#send(), pause);
  }

  async #send() {
    if (this.sending) return;
    this.sending = this.#sendAll().catch((error) => error);
    const error = await this.sending;
    this.sending = null;
    this.#tell(error);
    if (this.pending.size) this.#later(error ? AGAIN : PAUSE);
  }

  async #sendAll() {
    for (const [image, draft] of [...this.pending]) {
      const accepted = await this.#accepted(image, draft);
      if (this.pending.get(image) !== draft) continue; // changed meanwhile
      this.pending.delete(image);
      if (accepted) localStorage.removeItem(this.prefix + image);
    }
  }

  // False: the server will never take it, as when the image is no longer in the project; the browser keeps it.
  async #accepted(image, draft) {
    try {
      await call("/api/draft", { reviewer: this.reviewer, image, draft });
      return true;
    } catch (error) {
      if (error.status !== 400) throw error;
      console.error(error);
      return false;
    }
  }

  #leave() {
    for (const [image, draft] of this.pending) {
      call("/api/draft", { reviewer: this.reviewer, image, draft }, { keepalive: true }).catch(() => {});
    }
  }

  #local(image, draft) {
    try {
      if (draft === null) localStorage.removeItem(this.prefix + image);
      else localStorage.setItem(this.prefix + image, JSON.stringify(draft));
    } catch (error) {
      console.error(error); // no room in the browser: the server has it in a moment
    }
  }

  #read(image) {
    try {
      return JSON.parse(localStorage.getItem(this.prefix + image));
    } catch {
      return null;
    }
  }

  #tell(error = null) {
    this.on({ pending: this.pending.size, error: error ?? null });
  }
}
