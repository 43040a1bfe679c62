"use strict";
/* Shared pieces. Everything hangs on one object; text reaches the page as text nodes only. */
const benchsep = { data: JSON.parse(document.getElementById("data").textContent), audio: {} };

/** Called by the audio files: base64 FLAC by label. */
benchsep.audioFile = (key, sounds) => { benchsep.audio[key] = sounds; };

/** An element with attributes and children; strings become text nodes. */
benchsep.el = (tag, attributes = {}, ...children) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.filter((c) => c !== null && c !== undefined));
  return made;
};

benchsep.say = (text) => { document.getElementById("status").textContent = text; };

benchsep.number = (value, metric) => value === undefined || value === null ? "–"
  : value.toFixed(metric.digits) + (metric.unit && metric.unit !== "MOS" ? ` ${metric.unit}` : "");

/** Seconds as minutes and seconds: 1:02.5, or 1:02 without decimals. */
benchsep.clock = (s, decimals = 1) => {
  const units = 10 ** decimals, whole = Math.round(s * units);
  const rest = ((whole % (60 * units)) / units).toFixed(decimals);
  return `${Math.floor(whole / (60 * units))}:${rest.padStart(decimals ? decimals + 3 : 2, "0")}`;
};

/** A script file beside the page, loaded once. */
benchsep.load = (() => {
  const waiting = new Map();
  return (address) => {
    if (!waiting.has(address)) {
      waiting.set(address, new Promise((done, failed) => {
        const script = benchsep.el("script", { src: address });
        script.onload = () => done();
        script.onerror = () => { waiting.delete(address); failed(new Error(`cannot read ${address}`)); };
        document.head.append(script);
      }));
    }
    return waiting.get(address);
  };
})();

/** Seeded numbers in [0, 1): the same seed orders a test the same way anywhere. */
benchsep.random = (seed) => {
  let state = 2166136261;
  for (const c of String(seed)) state = Math.imul(state ^ c.codePointAt(0), 16777619);
  return () => {
    state = (state + 0x6D2B79F5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
};

benchsep.shuffled = (items, random) => {
  const made = [...items];
  for (let i = made.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [made[i], made[j]] = [made[j], made[i]];
  }
  return made;
};

/** CSV in which no cell is a formula. */
benchsep.csv = (header, rows) => {
  const cell = (value) => {
    if (value === null || value === undefined) return "";
    let text = String(value);
    if (typeof value === "string" && /^\s*[=+\-@\t\r]/.test(text)) text = `'${text}`;
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [header, ...rows].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
};

benchsep.download = (name, text) => {
  const address = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  benchsep.el("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
};
