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
    document.querySelectorAll("#family-filter input, #stem-filter")
      .forEach((control) => control.addEventListener("change", filter));
  };
  return { start, enhance };
})();
