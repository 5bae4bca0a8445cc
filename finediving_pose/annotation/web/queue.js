// The queue: filters, counts, and a list that builds only the rows in sight.

const ROW = 26; // px, as in review.css

export const SIGNS = {
  labelled: "○", unconfirmed: "?", conflict: "!", returned: "↩", reviewed: "✓", unlabelled: "·", unreadable: "×",
};
const WAITING = "waiting", ALL = "";

export class Queue {
  // on(image): a row was chosen
  constructor(parts, toReview, on) {
    Object.assign(this, parts); // rows, space, counts, state, annotator, dive, mine
    this.toReview = new Set(toReview);
    this.on = on;
    this.all = [];
    this.shown = [];
    this.kept = new Set(); // stays in sight though its state no longer fits the filter
    this.current = null;
    this.others = new Map();
    this.rows.addEventListener("scroll", () => this.#draw());
    this.rows.addEventListener("click", (event) => this.#clicked(event));
    new ResizeObserver(() => this.#draw()).observe(this.rows);
    for (const filter of [this.state, this.annotator, this.dive, this.mine]) {
      filter.addEventListener("change", () => {
        this.kept.clear();
        this.#apply();
        this.#reveal();
      });
    }
  }

  // rows: [image, kind, annotators, assigned, decided by]
  update(rows) {
    const first = !this.all.length;
    this.all = rows.map(([image, kind, annotators, assigned, decider]) => ({
      image, kind, annotators, assigned, decider, dive: image.slice(0, image.lastIndexOf("/")),
    }));
    this.all.sort((a, b) => b.assigned - a.assigned); // stable: within, the manifest's order
    this.#options();
    if (first) {
      this.mine.checked = this.all.some((row) => row.assigned && this.toReview.has(row.kind));
      this.mine.disabled = !this.all.some((row) => row.assigned);
    } else {
      for (const row of this.shown) this.kept.add(row.image); // what a person sees does not vanish under the pointer
    }
    this.#apply();
  }

  setKind(image, kind) {
    const row = this.all.find((entry) => entry.image === image);
    if (!row) return;
    this.kept.add(image);
    row.kind = kind;
    this.#options();
    this.#apply();
  }

  setOthers(others) {
    this.others = new Map(others.map(({ who, image }) => [image, who]));
    this.#draw();
  }

  select(image) {
    this.current = image;
    if (!this.shown.some((row) => row.image === image)) {
      this.kept.add(image);
      this.#apply();
    }
    this.#reveal();
  }

  get first() {
    return this.shown[0]?.image ?? null;
  }

  step(by) {
    const at = this.#at(this.current);
    return this.shown[at + by]?.image ?? null;
  }

  // The next image that the filter still asks for, from the top again after the end.
  nextOpen() {
    const at = this.#at(this.current);
    const order = [...this.shown.slice(at + 1), ...this.shown.slice(0, Math.max(at, 0))];
    return order.find((row) => this.#fits(row) && row.image !== this.current)?.image ?? null;
  }

  #at(image) {
    return this.shown.findIndex((row) => row.image === image);
  }

  #fits(row) {
    const kind = this.state.value;
    return (kind === ALL || (kind === WAITING ? this.toReview.has(row.kind) : row.kind === kind))
      && (!this.annotator.value || row.annotators.includes(this.annotator.value))
      && (!this.dive.value || row.dive === this.dive.value)
      && (!this.mine.checked || row.assigned);
  }

  #apply() {
    this.shown = this.all.filter((row) => this.kept.has(row.image) || this.#fits(row));
    this.space.style.height = `${this.shown.length * ROW}px`;
    const open = this.shown.filter((row) => this.toReview.has(row.kind)).length;
    this.counts.textContent = `${this.shown.length} images, ${open} to review`;
    this.#draw();
  }

  #options() {
    const kinds = count(this.all.map((row) => row.kind));
    const waiting = this.all.filter((row) => this.toReview.has(row.kind)).length;
    options(this.state, [
      [WAITING, `to review (${waiting})`],
      ...Object.keys(SIGNS).filter((kind) => kinds.get(kind)).map((kind) => [kind, `${kind} (${kinds.get(kind)})`]),
      [ALL, `all (${this.all.length})`],
    ]);
    const people = count(this.all.flatMap((row) => row.annotators));
    options(this.annotator, [["", "anybody"], ...entries(people)]);
    options(this.dive, [["", "any"], ...entries(count(this.all.map((row) => row.dive)))]);
  }

  #reveal() {
    const top = this.#at(this.current) * ROW;
    if (top < 0) return;
    const { scrollTop, clientHeight } = this.rows;
    if (top < scrollTop) this.rows.scrollTop = Math.max(0, top - ROW);
    else if (top + ROW > scrollTop + clientHeight) this.rows.scrollTop = top + 2 * ROW - clientHeight;
    this.#draw();
  }

  #draw() {
    const from = Math.max(0, Math.floor(this.rows.scrollTop / ROW) - 2);
    const to = Math.min(this.shown.length, Math.ceil((this.rows.scrollTop + this.rows.clientHeight) / ROW) + 2);
    const rows = this.shown.slice(from, to).map((row, at) => this.#row(row, from + at));
    this.space.replaceChildren(...rows);
    const current = rows.find((row) => row.dataset.image === this.current);
    if (current) this.rows.setAttribute("aria-activedescendant", current.id);
    else this.rows.removeAttribute("aria-activedescendant");
  }

  #row(row, at) {
    const element = document.createElement("div");
    element.className = "row";
    element.id = `row-${at}`;
    element.dataset.image = row.image;
    element.setAttribute("role", "option");
    element.setAttribute("aria-selected", String(row.image === this.current));
    element.setAttribute("aria-posinset", String(at + 1));
    element.setAttribute("aria-setsize", String(this.shown.length));
    element.style.transform = `translateY(${at * ROW}px)`;
    const who = this.others.get(row.image);
    const people = row.annotators.join(", ");
    element.title = `${row.image}\n${row.kind}${people ? `, labelled by ${people}` : ""}`
      + `${row.decider ? `, decided by ${row.decider}` : ""}${who ? `\n${who} is looking at it` : ""}`;
    element.append(
      text("span", SIGNS[row.kind], `sign ${row.kind}`),
      cutAtTheFront(row.dive),
      text("span", `/${row.image.slice(row.dive.length + 1).replace(/\.jpg$/, "")}`, "number"),
      text("span", who ? `${who} looks` : people, who ? "who" : "people"),
    );
    return element;
  }

  #clicked(event) {
    const image = event.target.closest?.(".row")?.dataset.image;
    if (image !== undefined) this.on(image);
  }
}

export function text(tag, content, className = "") {
  const element = document.createElement(tag);
  element.textContent = content;
  if (className) element.className = className;
  return element;
}

// The end of a dive's name tells it from others: right to left, with the name itself from left to right.
function cutAtTheFront(name) {
  const element = text("span", "", "dive");
  const inner = text("bdi", name);
  inner.dir = "ltr";
  element.append(inner);
  return element;
}

function count(values) {
  const counts = new Map();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
}

function entries(counts) {
  return [...counts].map(([value, times]) => [value, `${value} (${times})`]);
}

// Set a select's options and keep what is chosen.
function options(select, wanted) {
  const before = select.value;
  const have = [...select.options].map((option) => option.value + option.textContent).join("\n");
  if (have === wanted.map((pair) => pair.join("")).join("\n")) return;
  select.replaceChildren(...wanted.map(([value, name]) => new Option(name, value)));
  if (wanted.some(([value]) => value === before) && have) select.value = before;
}
