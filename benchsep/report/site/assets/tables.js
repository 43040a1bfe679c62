/* Sorting inside each group of a table, so that reference systems never mix with what is ranked. */
benchsep.tables = (() => {
  const key = (row, index, kind) => {
    const cell = row.children[index];
    if (kind === "text") return cell.textContent;
    const value = cell.dataset.value;
    return value === "" || value === undefined ? null : Number(value);
  };

  const compare = (a, b, sign) => {
    if (a === null || b === null) return (a === null) - (b === null);  // missing values last
    return sign * (typeof a === "string" ? a.localeCompare(b) : a - b);
  };

  const sort = (table, header) => {
    const index = [...header.parentElement.children].indexOf(header);
    const kind = header.dataset.sort;
    const first = kind === "number" && header.dataset.direction !== "-1" ? "descending" : "ascending";
    const other = first === "descending" ? "ascending" : "descending";
    const order = header.getAttribute("aria-sort") === first ? other : first;
    for (const th of header.parentElement.children) th.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    for (const body of table.tBodies) {
      const rows = [...body.rows].filter((row) => !row.classList.contains("group"));
      rows.map((row, i) => [row, i, key(row, index, kind)])
        .sort((a, b) => compare(a[2], b[2], sign) || a[1] - b[1])
        .forEach(([row]) => body.append(row));
    }
    benchsep.say(`sorted by ${header.textContent.trim()}, ${order}`);
  };

  /** Turns the headers of a table into buttons. */
  const enhance = (table) => {
    for (const header of table.tHead.querySelectorAll("th[data-sort]")) {
      const button = benchsep.el("button", { type: "button", onclick: () => sort(table, header) });
      button.append(...header.childNodes);
      header.append(button);
    }
  };

  /** Says above a table that it goes on to the right, while it does. */
  const hint = (region) => {
    const text = benchsep.el("p", { class: "hint dim", hidden: true }, "More columns: scroll sideways, or focus the table and press ← →.");
    region.before(text);
    const look = () => {
      const hidden = region.scrollWidth - region.clientWidth;
      text.hidden = hidden < 2;
      region.classList.toggle("more", hidden - region.scrollLeft >= 2);
    };
    region.addEventListener("scroll", look, { passive: true });
    new ResizeObserver(look).observe(region);
    const table = region.querySelector("table");
    if (table) new ResizeObserver(look).observe(table);
  };

  /** Opens what is folded around an element. */
  const unfold = (element) => {
    for (let fold = element.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
  };

  const folding = () => {
    const button = document.getElementById("fold-all");
    const folds = [...document.querySelectorAll("details.fold")];
    if (!button) return;
    const paint = () => { button.textContent = folds.some((f) => !f.open) ? "Open all tables" : "Fold all tables"; };
    button.addEventListener("click", () => {
      const open = folds.some((f) => !f.open);
      for (const fold of folds) fold.open = open;
      paint();
    });
    for (const fold of folds) fold.addEventListener("toggle", paint);
    button.hidden = !folds.length;
    paint();
  };

  const filter = () => {
    const shown = new Set([...document.querySelectorAll("#family-filter input:checked")]
      .map((box) => box.dataset.family));
    const stem = document.getElementById("stem-filter").value;
    for (const body of document.querySelectorAll(".scores tbody")) {
      body.hidden = body.dataset.group !== "published" && !shown.has(body.dataset.group);
    }
    for (const cell of document.querySelectorAll(".scores th[data-stem], .scores td[data-stem]")) {
      cell.hidden = stem !== "" && cell.dataset.stem !== "" && cell.dataset.stem !== stem;
    }
  };

  const start = () => {
    document.querySelectorAll("table.sortable").forEach(enhance);
    document.querySelectorAll(".scroll").forEach(hint);
    folding();
    document.querySelectorAll("#family-filter input, #stem-filter")
      .forEach((control) => control.addEventListener("change", filter));
  };
  return { start, enhance, hint, unfold };
})();
