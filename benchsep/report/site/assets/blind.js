/* ABX and MUSHRA without a server. Names, pictures and order stay hidden until the end. */
benchsep.blind = (() => {
  const { el, data } = benchsep;
  const player = new benchsep.Player();
  const body = () => document.getElementById("blind-body");
  const RESULTS = {
    abx: ["test", "rater", "seed", "trial", "song", "stem", "a", "b", "x", "answer", "correct"],
    mushra: ["rater", "seed", "trial", "song", "stem", "system", "family", "kind", "rating"],
  };
  let test = null;
  let drawing = 0;

  /** Probability of at least `hits` of `n` by guessing. */
  const guessing = (hits, n) => {
    let term = 0.5 ** n, sum = 0;
    for (let k = 0; k <= n; k++) {
      if (k >= hits) sum += term;
      term *= (n - k) / (k + 1);
    }
    return Math.min(1, sum);
  };

  // -- setting up ----------------------------------------------------------------------------

  /** A test that was left goes on where it was. */
  const open = () => test && test.at < test.trials.length ? trial() : setup();

  const setup = () => {
    player.stop();
    test = null;
    if (!data.songs.length) {
      return body().replaceChildren(el("p", {}, "No song of this report comes with audio, so there is nothing to test."));
    }
    const stems = [...new Set(data.songs.flatMap((s) => s.stems.map((t) => t.name)))];
    const labels = data.systems.map((s) => s.label);
    const field = (label, control) => el("label", { class: "row" }, label, control);
    const choice = (id, options, value) => el("select", { id }, ...options.map((o) => el("option", { value: o, selected: o === value }, o)));
    const real = labels.filter((l) => l !== "mixture" && l !== "reference");
    body().replaceChildren(
      el("p", {}, "Use headphones. Levels are matched (BS.1770). The seed fixes the order, so a test can be repeated; what plays stays hidden until the end."),
      el("form", { class: "trial", onsubmit: (e) => { e.preventDefault(); begin(); } },
        el("fieldset", {}, el("legend", {}, "Test"), el("div", { class: "row" },
          el("label", {}, el("input", { type: "radio", name: "kind", value: "abx", checked: true, onchange: toggle }), " ABX: is X the one or the other?"),
          el("label", {}, el("input", { type: "radio", name: "kind", value: "mushra", onchange: toggle, disabled: !labels.includes("reference") }), " MUSHRA: rate all against the reference"))),
        field("stem ", choice("blind-stem", stems, "vocals")),
        el("div", { id: "abx-options", class: "row" }, field("first ", choice("blind-a", labels, "reference")), field("second ", choice("blind-b", labels, real[0] ?? "mixture")),
          field("trials ", el("input", { id: "blind-trials", type: "number", min: "1", max: "100", value: "10" }))),
        field("rater ", el("input", { id: "blind-rater", type: "text", value: "listener-1", maxlength: "80" })),
        field("seed ", el("input", { id: "blind-seed", type: "text", value: data.seed, maxlength: "80" })),
        el("div", { class: "row" }, el("button", { type: "submit", class: "primary", id: "blind-start" }, "Start"))));
  };

  const toggle = () => {
    document.getElementById("abx-options").hidden = document.querySelector("input[name=kind]:checked").value !== "abx";
  };

  const value = (id) => document.getElementById(id).value;

  const begin = async () => {
    const kind = document.querySelector("input[name=kind]:checked").value;
    const stem = value("blind-stem");
    const common = { kind, stem, heard: null, rater: value("blind-rater"), seed: value("blind-seed"), at: 0, rows: [] };
    const random = benchsep.random(`${kind}/${stem}/${common.seed}`);
    const songs = data.songs.map((song, index) => ({ song, index, part: song.stems.find((s) => s.name === stem) })).filter((s) => s.part);
    if (kind === "abx") {
      const a = value("blind-a"), b = value("blind-b");
      if (a === b) return fail("Choose two different signals.");
      const usable = songs.filter((s) => [a, b].every((l) => s.part.sources.some((x) => x.label === l)));
      if (!usable.length) return fail("No song has both signals.");
      const count = Math.min(100, Math.max(1, Math.round(Number(value("blind-trials")) || 10)));
      const order = benchsep.shuffled(usable, random);
      const trials = Array.from({ length: count }, (_, i) => ({ ...order[i % order.length], x: random() < 0.5 ? "a" : "b" }));
      test = { ...common, a, b, trials };
    } else {
      const trials = benchsep.shuffled(songs, random).map((s) => ({ ...s, order: benchsep.shuffled(conditions(s.part), random) }));
      test = { ...common, trials };
    }
    await trial();
  };

  const fail = (text) => {
    body().querySelector(".warning")?.remove();
    body().prepend(el("p", { class: "warning", role: "alert" }, text));
  };

  /** Systems, the hidden reference and the two low-pass anchors of BS.1534. */
  const conditions = (part) => [
    ...part.sources.filter((s) => s.label !== "mixture" && s.label !== "reference")
      .map((s) => ({ label: s.label, kind: "system", family: data.systems.find((x) => x.label === s.label)?.family ?? "unknown" })),
    { label: "reference", kind: "hidden_reference", family: "oracle" },
    { label: "anchor35", kind: "anchor", family: "anchor", hertz: 3500 },
    { label: "anchor70", kind: "anchor", family: "anchor", hertz: 7000 },
  ];

  /** The reference through an eighth-order Butterworth low-pass. */
  const lowPassed = async (buffer, hertz) => {
    const offline = new OfflineAudioContext(buffer.numberOfChannels, buffer.length, buffer.sampleRate);
    let node = new AudioBufferSourceNode(offline, { buffer });
    const source = node;
    for (const q of [0.50980, 0.60134, 0.89998, 2.56292]) {
      const filter = new BiquadFilterNode(offline, { type: "lowpass", frequency: hertz, Q: 20 * Math.log10(q) });
      node = node.connect(filter);
    }
    node.connect(offline.destination);
    source.start();
    return offline.startRendering();
  };

  // -- one trial -----------------------------------------------------------------------------

  const trial = async () => {
    const now = test.trials[test.at];
    test.heard = null;
    body().replaceChildren(el("p", { role: "status" }, "Loading …"));
    try {
      await show(now);
    } catch (error) {
      body().replaceChildren(el("p", { class: "warning", role: "alert" }, `The audio cannot be played: ${error.message}`),
        el("button", { type: "button", onclick: trial }, "Try again"), ending());
    }
  };

  const show = async (now) => {
    const sources = await benchsep.stemSources(now.song, now.part);
    if (test.kind === "abx") {
      const hidden = { a: sources.get(test.a), b: sources.get(test.b) };
      await player.load(new Map([["A", hidden.a], ["B", hidden.b], ["X", hidden[now.x]]]), now.song.rate);
      abx(now);
    } else {
      const systems = new Map([...sources].filter(([label]) => now.order.some((c) => c.label === label) || label === "reference"));
      await player.load(systems, now.song.rate);
      const reference = player.sources.get("reference");
      for (const c of now.order.filter((x) => x.kind === "anchor")) {
        player.sources.set(c.label, { buffer: await lowPassed(reference.buffer, c.hertz), gain: reference.gain });
      }
      player.current = "reference";
      mushra(now);
    }
  };

  const transport = () => el("div", { class: "row" },
    el("button", { type: "button", id: "blind-play", onclick: () => player.toggle() }, "Play"),
    el("span", { class: "time", id: "blind-time" }, ""),
    el("label", {}, el("input", { type: "checkbox", id: "blind-loop", checked: player.loop, onchange: (e) => player.setLoop(e.target.checked) }), " loop"));

  const listenButton = (name, text) => el("button", { type: "button", "data-listen": name, "aria-pressed": "false",
    onclick: () => { player.choose(name); player.play(); } }, text);

  /** Name of the button whose sound is let through. */
  const current = () => test?.shown?.get(player.current) ?? player.current;

  player.onchange = () => {
    const play = document.getElementById("blind-play");
    if (play) play.textContent = player.playing ? "Pause" : "Play";
    const loop = document.getElementById("blind-loop");
    if (loop) loop.checked = player.loop;
    for (const button of document.querySelectorAll("[data-listen]")) {
      button.setAttribute("aria-pressed", String(button.dataset.listen === current()));
    }
    test?.heard?.note();
    clock();
  };

  const clock = () => {
    cancelAnimationFrame(drawing);
    const time = document.getElementById("blind-time");
    if (!time || !test) return;
    const { start } = test.trials[test.at].song;
    time.textContent = `${benchsep.clock(start + player.position)} / ${benchsep.clock(start + player.length)}`;
    if (player.playing) drawing = requestAnimationFrame(clock);
  };

  /** Trial, song and stem, and how far the test is. */
  const facts = (now) => {
    const count = test.trials.length;
    return [
      heading(`Trial ${test.at + 1} of ${count}`),
      el("progress", { max: count, value: test.at, "aria-label": `${test.at} of ${count} trials answered` }),
      el("p", { class: "facts" }, `Song: ${now.song.name} · stem: ${test.stem} · ${benchsep.clock(now.song.start)} to ${benchsep.clock(now.song.start + now.song.seconds)} of the song`),
    ];
  };

  const keyLine = (...pairs) => el("p", { class: "dim" }, "Keys: ", ...pairs.flatMap(([key, text], i) => [el("kbd", {}, key), ` ${text}${i < pairs.length - 1 ? ", " : "."}`]));
  const COMMON_KEYS = [["space", "play or pause"], ["← →", "one second"], ["Home", "begin"], ["l", "loop"]];

  const ending = () => el("button", { type: "button", id: "blind-end", onclick: () => { player.stop(); test.at = test.trials.length; results(); } }, "End the test here");

  const heading = (text) => {
    const made = el("h2", { tabindex: "-1" }, text);
    setTimeout(() => made.focus(), 0);
    return made;
  };

  const abx = (now) => {
    test.shown = null;
    const answer = (choice) => {
      if (test.heard.missing.length) return benchsep.say(reason());
      test.rows.push(["abx", test.rater, test.seed, test.at + 1, now.song.name, test.stem, test.a, test.b, now.x, choice, choice === now.x ? 1 : 0]);
      next();
    };
    test.answer = answer;
    const reason = () => test.heard.missing.length ? `No answer yet: listen to ${test.heard.missing.join(", ")} first.` : "All three were heard: is X the same as A or as B?";
    const why = el("p", { id: "blind-why", role: "status" });
    test.heard = new benchsep.Heard(player, ["A", "B", "X"], current, () => {
      for (const name of test.heard.heard) document.querySelector(`[data-listen="${name}"]`).classList.add("heard");
      why.textContent = reason();
      for (const id of ["x-is-a", "x-is-b"]) document.getElementById(id).disabled = test.heard.missing.length > 0;
    });
    body().replaceChildren(...facts(now), el("div", { class: "trial" }, transport(),
      el("div", { class: "row", role: "group", "aria-label": "Listen" }, listenButton("A", "A"), listenButton("B", "B"), listenButton("X", "X")),
      el("div", { class: "row", role: "group", "aria-label": "Answer" },
        el("button", { type: "button", class: "primary", id: "x-is-a", "aria-describedby": "blind-why", onclick: () => answer("a") }, "X is A"),
        el("button", { type: "button", class: "primary", id: "x-is-b", "aria-describedby": "blind-why", onclick: () => answer("b") }, "X is B")),
      why, keyLine(["a b x", "listen"], ["1", "X is A"], ["2", "X is B"], ...COMMON_KEYS), ending()));
    test.heard.changed();
    player.onchange();
  };

  const mushra = (now) => {
    // The page knows a condition by its place only: nothing in the document names it.
    test.shown = new Map([["reference", "ref"], ...now.order.filter((c) => c.kind !== "hidden_reference").map((c) => [c.label, String(now.order.indexOf(c))])]);
    const rated = new Set();
    const places = now.order.map((_, i) => String(i));
    const why = el("p", { id: "blind-why", role: "status" });
    const look = () => {
      const unheard = test.heard.missing.map((name) => name === "ref" ? "Reference" : `Sound ${Number(name) + 1}`);
      const unrated = places.filter((i) => !rated.has(Number(i))).map((i) => `Sound ${Number(i) + 1}`);
      why.textContent = [unheard.length ? `Not heard yet: ${unheard.join(", ")}.` : "", unrated.length ? `Not rated yet: ${unrated.join(", ")}.` : ""].filter(Boolean).join(" ");
      for (const name of test.heard.heard) document.querySelector(`[data-listen="${name}"]`).classList.add("heard");
      done.disabled = unheard.length + unrated.length > 0;
    };
    test.answer = null;
    test.heard = new benchsep.Heard(player, ["ref", ...places], current, look);
    const done = el("button", { type: "button", class: "primary", id: "mushra-next", disabled: true, "aria-describedby": "blind-why", onclick: () => finishMushra(now) }, "Next");
    const rows = now.order.map((condition, i) => {
      const out = el("output", { for: `rate-${i}` }, "–");
      const slider = el("input", { type: "range", id: `rate-${i}`, min: "0", max: "100", value: "50", "aria-label": `rating of condition ${i + 1}`,
        oninput: (e) => { out.textContent = e.target.value; rated.add(i); look(); } });
      const button = el("button", { type: "button", "data-listen": String(i), "aria-pressed": "false",
        onclick: () => { test.shown.set(condition.label, String(i)); player.choose(condition.label); player.play(); } }, `Sound ${i + 1}`);
      return el("div", { class: "slider" }, button, slider, out);
    });
    const reference = el("button", { type: "button", "data-listen": "ref", "aria-pressed": "false",
      onclick: () => { test.shown.set("reference", "ref"); player.choose("reference"); player.play(); } }, "Reference");
    body().replaceChildren(...facts(now),
      el("p", { class: "dim" }, "Rate every sound against the reference. One of them is the reference itself."),
      el("div", { class: "trial" }, el("div", { class: "row" }, transport(), reference),
        el("div", { class: "scale", "aria-hidden": "true" }, ...["bad", "poor", "fair", "good", "excellent"].map((t) => el("span", {}, t))),
        ...rows, why, done, keyLine(["0", "reference"], ["1 … 9", "sounds"], ...COMMON_KEYS), ending()));
    look();
    player.onchange();
  };

  const finishMushra = (now) => {
    now.order.forEach((c, i) => {
      test.rows.push([test.rater, test.seed, test.at + 1, now.song.name, test.stem, c.label, c.family, c.kind, Number(value(`rate-${i}`))]);
    });
    next();
  };

  const next = async () => {
    player.stop();
    test.at += 1;
    if (test.at < test.trials.length) await trial();
    else results();
  };

  // -- the end -------------------------------------------------------------------------------

  const results = () => {
    test.heard = null;
    const header = RESULTS[test.kind];
    const text = benchsep.csv(header, test.rows);
    const parts = [heading("Results")];
    if (test.kind === "abx") {
      const hits = test.rows.filter((r) => r[10] === 1).length;
      const p = guessing(hits, test.rows.length);
      parts.push(el("p", { id: "abx-result" }, !test.rows.length ? "No trial was answered." : `${hits} of ${test.rows.length} right; by guessing alone, that many or more with probability ${p < 0.001 ? "below .001" : p.toFixed(3)}.`));
    } else {
      const low = test.rows.filter((r) => r[7] === "hidden_reference" && r[8] < 90).length;
      parts.push(el("p", {}, `The hidden reference was rated below 90 in ${low} of ${test.trials.length} trials; BS.1534 leaves out raters above 15 %.`));
    }
    const rows = test.rows.map((row) => el("tr", {}, ...row.map((v) => el("td", {}, String(v)))));
    parts.push(el("div", { class: "row" },
      el("button", { type: "button", class: "primary", id: "blind-export", onclick: () => benchsep.download(`benchsep-${test.kind}.csv`, text) }, "Save as CSV"),
      el("button", { type: "button", onclick: setup }, "New test")));
    parts.push(el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "answers" }, el("table", {}, el("caption", {}, "Answers"),
      el("thead", {}, el("tr", {}, ...header.map((h) => el("th", { scope: "col" }, h)))), el("tbody", {}, ...rows))));
    body().replaceChildren(...parts);
  };

  // -- keys ----------------------------------------------------------------------------------

  const listen = (name) => {
    const button = document.querySelector(`[data-listen="${CSS.escape(name)}"]`);
    button?.click();
    return Boolean(button);
  };

  /** Whether a key did something. */
  const act = (key) => {
    if (key === " ") player.toggle();
    else if (key === "ArrowLeft") player.seek(player.position - 1);
    else if (key === "ArrowRight") player.seek(player.position + 1);
    else if (key === "Home") player.seek(0);
    else if (key === "l") player.setLoop(!player.loop);
    else if (test.kind === "abx" && "abx".includes(key)) return listen(key.toUpperCase());
    else if (test.kind === "abx" && "12".includes(key)) test.answer(key === "1" ? "a" : "b");
    else if (test.kind === "mushra" && /^[0-9]$/.test(key)) return listen(key === "0" ? "ref" : String(Number(key) - 1));
    else return false;
    return true;
  };

  document.addEventListener("keydown", (event) => {
    if (document.getElementById("view-blind").hidden || !test?.heard) return;
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    const arrows = event.target.matches("input[type=range]") && /^(Arrow|Home)/.test(event.key);
    if (arrows || (event.key === " " && event.target.matches("button, a, input[type=checkbox]"))) return;
    if (act(event.key)) event.preventDefault();
  });

  return { open, setup, player, guessing, lowPassed, state: () => test, leave: () => player.stop() };
})();
