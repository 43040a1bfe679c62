/* Which sounds a listener has heard: each has played for a while without a switch. */
benchsep.HEARD_MS = 300;

benchsep.Heard = class {
  /** `names` must all be heard; `current` names what the player lets through. */
  constructor(player, names, current, changed) {
    Object.assign(this, { player, names, current, changed });
    this.heard = new Set();
    this.timer = 0;
  }

  get missing() { return this.names.filter((name) => !this.heard.has(name)); }

  /** To be called on every change of the player. */
  note() {
    clearTimeout(this.timer);
    const name = this.current();
    if (!this.player.playing || this.heard.has(name)) return;
    // An excerpt that is shorter than the time counts when half of it was played.
    const enough = Math.min(benchsep.HEARD_MS, 500 * this.player.length);
    this.timer = setTimeout(() => {
      if (!this.player.playing || this.current() !== name) return;
      this.heard.add(name);
      this.changed();
    }, enough);
  }
};
