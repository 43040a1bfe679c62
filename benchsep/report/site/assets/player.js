/* Plays several signals in step and lets one through: switching keeps the sample position. */
benchsep.Player = class {
  constructor() {
    this.context = null;
    this.sources = new Map();  // name -> {buffer, gain (dB)}
    this.nodes = new Map();    // name -> {node, gate}
    this.current = null;
    this.playing = false;
    this.offset = 0;
    this.startedAt = 0;
    this.loop = false;
    this.matched = true;
    this.length = 0;
    this.onchange = () => {};
  }

  /** Decodes base64 files; `wanted` maps a name to {bytes, gain}. */
  async load(wanted, rate) {
    this.stop();
    if (!this.context || this.context.sampleRate !== rate) {
      await this.close();
      this.context = new AudioContext({ sampleRate: rate });
      this.meter = this.context.createAnalyser();
      this.meter.connect(this.context.destination);
    }
    const decoded = await Promise.all([...wanted].map(async ([name, { bytes, gain }]) => {
      const raw = Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0));
      return [name, { buffer: await this.context.decodeAudioData(raw.buffer), gain }];
    }));
    this.sources = new Map(decoded);
    this.length = Math.max(...decoded.map(([, s]) => s.buffer.duration));
    this.offset = 0;
    this.current = decoded[0][0];
    this.onchange();
  }

  async close() {
    this.stop();
    if (this.context) await this.context.close();
    this.context = null;
    this.sources = new Map();
  }

  get position() {
    if (!this.playing) return this.offset;
    const run = Math.max(0, this.context.currentTime - this.startedAt) + this.offset;
    return this.loop ? run % this.length : Math.min(run, this.length);
  }

  level(name) {
    const gain = this.matched ? this.sources.get(name).gain : 0;
    return 10 ** (gain / 20);
  }

  async play() {
    if (this.playing || !this.context) return;
    // A browser keeps a context suspended until the user acts; this call is that act.
    await this.context.resume();
    if (this.playing) return;
    if (this.offset >= this.length - 0.01) this.offset = 0;
    const when = this.context.currentTime + 0.03;  // all start on one sample
    for (const [name, source] of this.sources) {
      const node = new AudioBufferSourceNode(this.context, { buffer: source.buffer, loop: this.loop });
      const gate = new GainNode(this.context, { gain: name === this.current ? this.level(name) : 0 });
      node.connect(gate).connect(this.meter);
      node.start(when, this.offset);
      this.nodes.set(name, { node, gate });
    }
    const longest = [...this.sources].find(([, s]) => s.buffer.duration === this.length)[0];
    const { node } = this.nodes.get(longest);
    node.onended = () => {
      if (this.nodes.get(longest)?.node !== node) return;
      this.stop();
      this.offset = 0;
      this.onchange();
    };
    this.startedAt = when;
    this.playing = true;
    this.onchange();
  }

  stop() {
    if (!this.playing) return;
    this.offset = this.position;
    for (const { node } of this.nodes.values()) {
      node.onended = null;
      node.stop();
      node.disconnect();
    }
    this.nodes.clear();
    this.playing = false;
  }

  pause() { this.stop(); this.onchange(); }

  toggle() { return this.playing ? this.pause() : this.play(); }

  async seek(seconds) {
    const was = this.playing;
    this.stop();
    this.offset = Math.min(Math.max(0, seconds), this.length);
    if (was) await this.play();
    this.onchange();
  }

  /** Lets another signal through; both keep running, so the position is the same sample. */
  choose(name) {
    if (!this.sources.has(name)) return;
    this.current = name;
    this.applyGains();
    this.onchange();
  }

  setMatched(on) { this.matched = on; this.applyGains(); this.onchange(); }

  async setLoop(on) { this.loop = on; await this.seek(this.position); }

  applyGains() {
    const now = this.context ? this.context.currentTime : 0;
    for (const [name, { gate }] of this.nodes) {
      const target = name === this.current ? this.level(name) : 0;
      gate.gain.cancelScheduledValues(now);
      gate.gain.setTargetAtTime(target, now, 0.003);  // 3 ms: no click, no gap
    }
  }

  /** Root mean square of what is heard right now. */
  rms() {
    if (!this.meter) return 0;
    const wave = new Float32Array(this.meter.fftSize);
    this.meter.getFloatTimeDomainData(wave);
    return Math.sqrt(wave.reduce((sum, x) => sum + x * x, 0) / wave.length);
  }
};

/** The files of one stem of a song, as {name: {bytes, gain}} for the player. */
benchsep.stemSources = async (song, stem) => {
  await Promise.all(stem.files.map((file) => benchsep.load(file)));
  const bytes = Object.assign({}, ...stem.keys.map((key) => benchsep.audio[key]));
  return new Map(stem.sources.map((s) => [s.label, { bytes: bytes[s.label], gain: s.gain }]));
};
