"use strict";
(() => {
  const root = document.documentElement;
  document.getElementById("scheme").addEventListener("click", () => {
    const dark = root.dataset.scheme
      ? root.dataset.scheme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.scheme = dark ? "light" : "dark";
  });

  // "+0.72", "−3 %", "[+0.1, +0.2]", "1.5 KiB", "<0.001": the first number decides
  const units = { KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };
  const value = (text) => {
    const found = text.replaceAll("−", "-").match(/-?\d+(\.\d+)?/);
    if (!found) return null;
    const unit = Object.keys(units).find((name) => text.endsWith(name));
    return Number(found[0]) * (unit ? units[unit] : 1) - (text.startsWith("<") ? 1e-9 : 0);
  };

  for (const header of document.querySelectorAll("thead th")) {
    header.firstElementChild.addEventListener("click", () => {
      const body = header.closest("table").tBodies[0];
      const numeric = header.classList.contains("number");
      const falling = header.getAttribute("aria-sort") !== "descending";
      for (const other of header.parentElement.children) other.removeAttribute("aria-sort");
      header.setAttribute("aria-sort", falling ? "descending" : "ascending");
      const key = (row) => {
        const text = row.cells[header.cellIndex].textContent;
        return numeric ? value(text) : text;
      };
      const rows = [...body.rows].sort((a, b) => {
        const [x, y] = [key(a), key(b)];
        if (x === null || y === null) return (x === null) - (y === null); // missing values last
        const order = numeric ? x - y : x.localeCompare(y);
        return falling ? -order : order;
      });
      body.append(...rows);
    });
  }
})();
