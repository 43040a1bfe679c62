/* The list of songs, and the page of one song. */
benchsep.songs = (() => {
  const { el, data } = benchsep;
  const player = new benchsep.Player();
  const metricNamed = (column) => data.metrics.find((m) => m.column === column);
  const familyOf = (label) => data.systems.find((s) => s.label === label)?.family ?? "unknown";
  const shownFamily = (label) => familyOf(label) === "unknown" ? "undeclared family" : familyOf(label);
  const groupOf = (label) => data.systems.find((s) => s.label === label)?.group ?? "unknown";
  const { clock } = benchsep;
  let shown = null;   // {song, stem, index}
  let drawing = 0;

  // -- list ----------------------------------------------------------------------------------

  const listRow = (entry, stem, metric, systems) => {
    const name = entry.heard === null ? entry.name
      : el("a", { href: `#/song/${entry.heard}/${encodeURIComponent(stem)}` }, entry.name);
    const cells = systems.map((s) => {
      const value = entry.scores[stem]?.[s.label]?.[metric.column];
      return el("td", { "data-value": value ?? "" }, benchsep.number(value, metric));
    });
    return el("tr", {}, el("th", { scope: "row" }, name),
      el("td", { "data-value": entry.apart }, entry.apart.toFixed(2)), ...cells);
  };

  const select = (label, options, value, change) => {
    const control = el("select", { onchange: (e) => change(e.target.value) },
      ...options.map(([v, text]) => el("option", { value: v, selected: v === value }, text)));
    return el("label", { class: "row" }, label, control);
  };

  const view = { stem: null, metric: null, groups: new Set(["generative", "discriminative", "unknown", "yardstick"]) };

  const list = () => {
    const body = document.getElementById("songs-body");
    const stems = [...new Set(data.overview.flatMap((e) => Object.keys(e.scores)))];
    if (!stems.length) return body.replaceChildren(el("p", {}, "The run has no scores."));
    view.stem ??= stems.includes("vocals") ? "vocals" : stems[0];
    view.metric ??= data.metrics[0].column;
    const metric = metricNamed(view.metric);
    const systems = data.systems.filter((s) => view.groups.has(s.group));
    const groups = [...new Set(data.systems.map((s) => s.group))];
    const boxes = groups.map((g) => el("label", {}, el("input", {
      type: "checkbox", checked: view.groups.has(g),
      onchange: (e) => { view.groups[e.target.checked ? "add" : "delete"](g); list(); },
    }), ` ${g}`));
    const header = el("tr", {}, el("th", { scope: "col", "data-sort": "text" }, "song"),
      el("th", { scope: "col", "data-sort": "number", "data-direction": "1" }, "disagreement"),
      ...systems.map((s) => el("th", { scope: "col", "data-sort": "number", "data-direction": metric.direction }, s.label)));
    const entries = [...data.overview].sort((a, b) => b.apart - a.apart || a.name.localeCompare(b.name));
    const table = el("table", { class: "sortable" },
      el("caption", {}, `${metric.name}, ${view.stem}, by song`), el("thead", {}, header),
      el("tbody", {}, ...entries.map((e) => listRow(e, view.stem, metric, systems))));
    benchsep.tables.enhance(table);
    body.replaceChildren(
      el("p", { class: "dim" }, "Songs on which the metrics disagree most come first: mean difference of rank, 0 to 1. "
        + "Linked songs can be heard."),
      el("fieldset", { class: "filters" }, el("legend", {}, "Show"),
        select("stem ", stems.map((s) => [s, s]), view.stem, (v) => { view.stem = v; list(); }),
        select("metric ", data.metrics.map((m) => [m.column, m.name]), view.metric, (v) => { view.metric = v; list(); }),
        el("div", { class: "row" }, ...boxes)),
      el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "scores by song" }, table));
    benchsep.tables.hint(body.querySelector(".scroll"));
  };

  // -- one song ------------------------------------------------------------------------------

  const scoreLine = (song, stem, label) => {
    const found = song.scores[stem]?.[label] ?? {};
    const parts = data.metrics.filter((m) => m.headline && m.column in found)
      .map((m) => `${m.name} ${benchsep.number(found[m.column], m)}`);
    return parts.join(" · ") || "no scores";
  };

  /** Frequencies beside a spectrogram, from below; those that would touch are left out. */
  const frequencies = () => {
    let last = -1;
    const shown = data.axis.ticks.filter(([, place]) => {
      const fits = place - last >= 0.1;
      if (fits) last = place;
      return fits;
    });
    return el("div", { class: "khz", "aria-hidden": "true" }, ...shown.map(([text, place]) => el("span", { style: `bottom: ${100 * place}%` }, text)));
  };

  /** Times of the song below a spectrogram: the first is the begin of the excerpt. */
  const times = (song) => {
    const step = [0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300].find((s) => song.seconds / s <= 6) ?? 600;
    const count = Math.floor(0.93 * song.seconds / step) + 1;
    const texts = Array.from({ length: count }, (_, k) => el("span", { style: `left: ${100 * k * step / song.seconds}%` }, clock(song.start + k * step, song.start % 1 || step < 1 ? 1 : 0)));
    return el("div", { class: "seconds", "aria-hidden": "true" }, ...texts);
  };

  const sourceCard = (song, stem, source, index) => {
    const radio = el("input", {
      type: "radio", name: "source", value: source.label, checked: index === 0,
      onchange: () => player.choose(source.label),
    });
    const picture = el("div", { class: "picture" },
      el("img", { src: source.picture, alt: `Spectrogram of ${source.label}, ${data.axis.low / 1000} to ${data.axis.high / 1000} kHz (mel), ${clock(song.start)} to ${clock(song.start + song.seconds)}`, loading: "lazy" }),
      el("div", { class: "head" }));
    picture.addEventListener("click", (event) => {
      const box = picture.getBoundingClientRect();
      radio.checked = true;
      player.choose(source.label);
      player.seek((event.clientX - box.left) / box.width * player.length);
    });
    const key = index < 10 ? el("kbd", { "aria-hidden": "true" }, String((index + 1) % 10)) : null;
    return el("li", { class: "source", "data-label": source.label, "data-group": groupOf(source.label) },
      el("label", {}, radio, el("span", {}, source.label), el("span", { class: `family ${familyOf(source.label)}` }, shownFamily(source.label)), key),
      el("p", { class: "dim" }, scoreLine(song, stem.name, source.label)),
      el("div", { class: "plot" }, frequencies(), picture, times(song)));
  };

  /** At most three cards in a row and no hole: shorter rows, at the end, have wider cards. */
  const balance = (cards) => {
    const rows = Math.ceil(cards.length / 3), longer = cards.length % rows;
    const short = Math.floor(cards.length / rows);
    cards.forEach((card, i) => {
      const inRow = i < longer * (short + 1) ? short + 1 : short;
      card.style.setProperty("--span", String(6 / inRow));
    });
  };

  const transport = () => {
    const button = el("button", { type: "button", id: "play", class: "primary", disabled: true, onclick: () => player.toggle() }, "Play");
    const seek = el("input", { type: "range", id: "seek", min: "0", max: "1", step: "0.001", value: "0", "aria-label": "position",
      oninput: (e) => player.seek(Number(e.target.value) * player.length) });
    const loop = el("input", { type: "checkbox", id: "loop", checked: player.loop, onchange: (e) => player.setLoop(e.target.checked) });
    const match = el("input", { type: "checkbox", id: "match", checked: player.matched, onchange: (e) => player.setMatched(e.target.checked) });
    return el("div", { class: "transport" }, el("div", { class: "row" }, button, el("span", { class: "time", id: "time" }, "0:00.0"), seek,
      el("label", {}, loop, " loop"), el("label", {}, match, " equal loudness")));
  };

  const draw = () => {
    cancelAnimationFrame(drawing);
    const position = player.position;
    const part = player.length ? position / player.length : 0;
    for (const head of document.querySelectorAll("#song-body .head")) head.style.left = `${part * 100}%`;
    const time = document.getElementById("time");
    const start = shown?.song.start ?? 0;
    if (time) time.textContent = `${clock(start + position)} / ${clock(start + player.length)}`;
    const seek = document.getElementById("seek");
    if (seek && document.activeElement !== seek) seek.value = String(part);
    if (player.playing) drawing = requestAnimationFrame(draw);
  };

  const refresh = () => {
    const button = document.getElementById("play");
    if (button) button.textContent = player.playing ? "Pause" : "Play";
    for (const card of document.querySelectorAll("#song-body .source")) {
      const on = card.dataset.label === player.current;
      card.classList.toggle("on", on);
      if (on) card.querySelector("input").checked = true;
    }
    const match = document.getElementById("match");
    if (match) match.checked = player.matched;
    const loop = document.getElementById("loop");
    if (loop) loop.checked = player.loop;
    draw();
  };
  player.onchange = refresh;

  const song = async (index, stemName) => {
    const entry = data.songs[index];
    if (!entry) { location.hash = "#/songs"; return; }
    const stem = entry.stems.find((s) => s.name === stemName) ?? entry.stems[0];
    player.stop();
    const kept = player.position, label = player.current, same = shown?.index === index;
    shown = { song: entry, stem, index };
    document.getElementById("h-song").textContent = entry.name;
    const tabs = entry.stems.map((s) => el("a", { href: `#/song/${index}/${encodeURIComponent(s.name)}`,
      "aria-current": s === stem ? "true" : null, style: s === stem ? "font-weight:700" : null }, s.name));
    const sources = stem.sources.map((s, i) => sourceCard(entry, stem, s, i));
    balance(sources);
    const fields = el("fieldset", {}, el("legend", {}, `Listen to: ${stem.name}`), el("ul", { class: "sources" }, ...sources));
    document.getElementById("song-body").replaceChildren(
      el("p", {}, el("a", { href: "#/songs" }, "All songs"),
        ` · ${clock(entry.start)} to ${clock(entry.start + entry.seconds)} of the song`),
      el("nav", { class: "row", "aria-label": "Stems" }, ...tabs), transport(), fields,
      el("p", { class: "dim" }, el("kbd", {}, "space"), " play or pause, ", el("kbd", {}, "1"), "–", el("kbd", {}, "0"), " choose, ",
        el("kbd", {}, "[ ]"), " previous, next, ", el("kbd", {}, "← →"), " one second, ", el("kbd", {}, "l"), " loop, ", el("kbd", {}, "m"),
        " equal loudness. Switching keeps the position to the sample; loudness is matched to the true stem (BS.1770). "
        + "Spectrograms: kHz on a mel axis over the song's time; one scale for all, -80 to 0 dB re the loudest bin of mixture and reference."));
    try {
      await player.load(await benchsep.stemSources(entry, stem), entry.rate);
      if (shown.stem !== stem) return;
      if (same) { player.choose(label); await player.seek(kept); }
      document.getElementById("play").disabled = false;
      benchsep.say(`${stem.name} of ${entry.name} is ready`);
    } catch (error) {
      document.getElementById("song-body").prepend(el("p", { class: "warning", role: "alert" }, `The audio cannot be played: ${error.message}`));
    }
    refresh();
  };

  const step = (by) => {
    const labels = shown.stem.sources.map((s) => s.label);
    player.choose(labels[(labels.indexOf(player.current) + by + labels.length) % labels.length]);
    benchsep.say(player.current);
  };

  const keys = {
    " ": () => player.toggle(),
    ArrowLeft: () => player.seek(player.position - 1),
    ArrowRight: () => player.seek(player.position + 1),
    Home: () => player.seek(0),
    "[": () => step(-1),
    "]": () => step(1),
    l: () => player.setLoop(!player.loop),
    m: () => player.setMatched(!player.matched),
  };

  document.addEventListener("keydown", (event) => {
    if (document.getElementById("view-song").hidden || !shown) return;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target;
    const typing = target.matches("select, textarea, input[type=text], input[type=range]");
    if (typing || (event.key === " " && target.matches("button, a, input[type=checkbox]"))) return;
    const digit = /^[0-9]$/.test(event.key) ? (Number(event.key) + 9) % 10 : -1;
    if (digit >= 0 && shown.stem.sources[digit]) player.choose(shown.stem.sources[digit].label);
    else if (keys[event.key]) keys[event.key]();
    else return;
    event.preventDefault();
  });

  return { list, song, player, leave: () => { player.stop(); refresh(); } };
})();
