/* Views by address, and the theme. */
(() => {
  const views = ["results", "songs", "song", "blind"];

  const show = (name) => {
    for (const view of views) document.getElementById(`view-${view}`).hidden = view !== name;
    const nav = name === "song" ? "songs" : name;
    for (const link of document.querySelectorAll("nav [data-view]")) {
      if (link.dataset.view === nav) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  };

  const decoded = (text) => { try { return decodeURIComponent(text); } catch { return text; } };

  const route = () => {
    const target = location.hash.startsWith("#/") ? null : document.getElementById(location.hash.slice(1));
    const [name = "results", ...rest] = location.hash.replace(/^#\//, "").split("/");
    const known = views.includes(name) ? name : "results";
    if (known !== "song") benchsep.songs.leave();
    if (known !== "blind") benchsep.blind.leave();
    show(known);
    if (known === "songs") benchsep.songs.list();
    if (known === "song") benchsep.songs.song(Number(rest[0]), decoded(rest[1] ?? ""));
    if (known === "blind") benchsep.blind.open();
    if (target && known === "results") {  // a number or a table, perhaps in a fold
      benchsep.tables.unfold(target);
      target.scrollIntoView({ block: "center" });
    }
  };

  const theme = document.getElementById("theme");
  const themes = ["auto", "light", "dark"];
  const remembered = (() => { try { return localStorage.getItem("benchsep-theme"); } catch { return null; } })();
  const paint = (name) => {
    if (name === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = name;
    theme.textContent = `Theme: ${name}`;
    theme.dataset.value = name;
    try { localStorage.setItem("benchsep-theme", name); } catch { /* private mode keeps nothing */ }
  };
  theme.addEventListener("click", () => paint(themes[(themes.indexOf(theme.dataset.value) + 1) % 3]));
  paint(themes.includes(remembered) ? remembered : "auto");

  benchsep.tables.start();
  addEventListener("hashchange", () => { route(); document.getElementById("main").focus({ preventScroll: true });
    if (location.hash.startsWith("#/")) scrollTo(0, 0);
  });
  route();
})();
