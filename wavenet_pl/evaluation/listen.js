'use strict';
// One player over the clips of each recording, with what is seen of the one that is heard; and a blind test.

const FRAME = 512, BANDS = FRAME / 2, FLOOR = -80;

/** The samples of a WAV file of 16 bits, as `soundfile` writes it: a header of 44 bytes, and then nothing else. */
function samplesOf(audio) {
  const bytes = Uint8Array.from(atob(audio.src.slice(audio.src.indexOf(',') + 1)), letter => letter.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return { rate: view.getUint32(24, true), values: Float32Array.from(new Int16Array(bytes.buffer, 44), one => one / 32768) };
}

/** Real and imaginary parts become those of their discrete Fourier transform; lengths are powers of two. */
function transform(real, imaginary) {
  const length = real.length;
  for (let i = 1, j = 0; i < length; i++) {
    let bit = length >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      [real[i], real[j]] = [real[j], real[i]];
      [imaginary[i], imaginary[j]] = [imaginary[j], imaginary[i]];
    }
  }
  for (let size = 2; size <= length; size <<= 1) {
    for (let k = 0; k < size / 2; k++) {
      const cosine = Math.cos(2 * Math.PI * k / size), sine = -Math.sin(2 * Math.PI * k / size);
      for (let i = k; i < length; i += size) {
        const other = i + size / 2;
        const r = real[other] * cosine - imaginary[other] * sine, m = real[other] * sine + imaginary[other] * cosine;
        real[other] = real[i] - r; imaginary[other] = imaginary[i] - m;
        real[i] += r; imaginary[i] += m;
      }
    }
  }
}

/** Levels in dB (columns x bands), where a sine of full scale has 0. */
function spectrogram(values, columns) {
  const levels = new Float32Array(columns * BANDS), real = new Float32Array(FRAME), imaginary = new Float32Array(FRAME);
  for (let column = 0; column < columns; column++) {
    const middle = Math.round((column + 0.5) / columns * values.length);
    for (let i = 0; i < FRAME; i++) {
      real[i] = (values[middle - FRAME / 2 + i] || 0) * (0.5 - 0.5 * Math.cos(2 * Math.PI * i / FRAME));
    }
    imaginary.fill(0);
    transform(real, imaginary);
    for (let band = 0; band < BANDS; band++) {
      levels[column * BANDS + band] = 20 * Math.log10(Math.hypot(real[band], imaginary[band]) / (FRAME / 4) + 1e-9);
    }
  }
  return levels;
}

/** A picture for a canvas: the waveform above, the spectrogram below, in the colours of the page. */
function draw(canvas, sound) {
  const ratio = window.devicePixelRatio || 1, picture = document.createElement('canvas'), context = picture.getContext('2d');
  const width = picture.width = Math.max(1, Math.round(canvas.clientWidth * ratio));
  const height = picture.height = Math.max(1, Math.round(canvas.clientHeight * ratio)), top = Math.round(height / 4);
  const style = getComputedStyle(document.documentElement);
  context.fillStyle = style.getPropertyValue('--accent');
  for (let x = 0; x < width; x++) {
    const part = sound.values.subarray(x / width * sound.values.length, Math.max((x + 1) / width * sound.values.length, x / width * sound.values.length + 1));
    let low = 0, high = 0;
    for (const value of part) { low = Math.min(low, value); high = Math.max(high, value); }
    context.fillRect(x, top / 2 * (1 - high), 1, Math.max(1, top / 2 * (high - low)));
  }
  const columns = Math.min(width, 600), levels = spectrogram(sound.values, columns);
  const image = context.createImageData(columns, BANDS);
  for (let column = 0; column < columns; column++) {
    for (let band = 0; band < BANDS; band++) {
      const loud = Math.min(1, Math.max(0, 1 - levels[column * BANDS + band] / FLOOR));
      const place = 4 * ((BANDS - 1 - band) * columns + column);
      image.data[place] = 255 * Math.min(1, 1.6 * loud);
      image.data[place + 1] = 255 * Math.max(0, 1.9 * loud - 0.85);
      image.data[place + 2] = 255 * (loud < 0.5 ? 0.15 + 0.9 * loud : Math.max(0.3, 1.1 - loud));
      image.data[place + 3] = 255;
    }
  }
  const small = document.createElement('canvas');
  small.width = columns; small.height = BANDS;
  small.getContext('2d').putImageData(image, 0, 0);
  context.imageSmoothingEnabled = true;
  context.drawImage(small, 0, top, width, height - top);
  return picture;
}

class Item {
  constructor(article) {
    this.article = article;
    this.key = article.dataset.key;
    this.takes = [...article.querySelectorAll('.take')];
    this.sounds = this.takes.map(take => take.querySelector('audio'));
    this.current = 0;
    this.pictures = new Map();
    this.build();
  }

  /** The player, in place of the list of players. */
  build() {
    const list = this.article.querySelector('.players');
    list.hidden = true;
    list.style.display = 'none';
    this.canvas = document.createElement('canvas');
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute('role', 'slider');
    this.canvas.setAttribute('aria-valuemin', '0');
    this.canvas.addEventListener('pointerdown', event => {
      const box = this.canvas.getBoundingClientRect();
      this.seek((event.clientX - box.left) / box.width * this.length);
      active = this;
    });
    this.play = button('Play', () => this.toggle());
    this.time = document.createElement('span');
    this.time.className = 'time';
    const controls = document.createElement('div');
    controls.className = 'buttons';
    controls.append(this.play, this.time);
    const choices = document.createElement('div');
    choices.className = 'switch';
    choices.setAttribute('role', 'group');
    choices.setAttribute('aria-label', 'Which clip');
    this.buttons = this.takes.map((take, number) => {
      const one = button(`${number + 1} ${take.dataset.name}`, () => this.choose(number));
      const facts = take.querySelector('.facts');
      if (facts) one.append(Object.assign(document.createElement('small'), { textContent: facts.textContent }));
      choices.append(one);
      return one;
    });
    list.before(this.canvas, controls, choices);
    this.article.addEventListener('focusin', () => { active = this; });
    for (const sound of this.sounds) {
      sound.preload = 'auto';
      sound.addEventListener('ended', () => this.show());
      sound.addEventListener('pause', () => this.show());
      sound.addEventListener('play', () => { this.show(); this.follow(); });
      sound.addEventListener('seeked', () => this.show());
    }
    this.choose(0);
  }

  get sound() { return this.sounds[this.current]; }

  get length() {
    const known = this.samples();
    return known.values.length / known.rate;
  }

  samples() {
    if (!this.pictures.has(this.current)) this.pictures.set(this.current, { sound: samplesOf(this.sound) });
    return this.pictures.get(this.current).sound;
  }

  choose(number) {
    if (number >= this.takes.length) return;
    const before = this.sound, playing = !before.paused, place = before.currentTime;
    before.pause();
    this.current = number;
    this.buttons.forEach((one, each) => one.setAttribute('aria-pressed', String(each === number)));
    this.canvas.setAttribute('aria-label', `${this.key}, ${this.takes[number].dataset.name}: place in the clip`);
    if (this.sound !== before) this.seek(Math.min(place, this.length));
    if (playing) this.start();
    this.show();
  }

  toggle() {
    if (this.sound.paused) this.start(); else this.sound.pause();
  }

  start() {
    for (const item of items) if (item !== this) item.sound.pause();
    if (this.sound.currentTime >= this.length) this.sound.currentTime = 0;
    this.sound.play().catch(() => { this.time.textContent = 'the browser does not play it'; });
  }

  seek(seconds) {
    this.sound.currentTime = Math.min(Math.max(0, seconds), this.length);
    this.show();
  }

  follow() {
    if (this.sound.paused) return;
    this.show();
    requestAnimationFrame(() => this.follow());
  }

  /** The picture of the clip, with a line where it is. */
  show() {
    this.play.textContent = this.sound.paused ? 'Play' : 'Pause';
    const place = this.sound.currentTime;
    this.time.textContent = `${place.toFixed(1)} of ${this.length.toFixed(1)} s`;
    this.canvas.setAttribute('aria-valuemax', this.length.toFixed(2));
    this.canvas.setAttribute('aria-valuenow', place.toFixed(2));
    this.canvas.setAttribute('aria-valuetext', this.time.textContent);
    if (!this.visible) return;
    const known = this.pictures.get(this.current), width = this.canvas.clientWidth;
    if (known.width !== width || known.scheme !== dark.matches) {
      Object.assign(known, { image: draw(this.canvas, known.sound), width, scheme: dark.matches });
    }
    const context = this.canvas.getContext('2d');
    this.canvas.width = known.image.width;
    this.canvas.height = known.image.height;
    context.drawImage(known.image, 0, 0);
    context.fillStyle = getComputedStyle(document.documentElement).getPropertyValue('--ink');
    context.fillRect(place / this.length * this.canvas.width - 1, 0, 2, this.canvas.height / 4);
    context.fillStyle = '#fff';
    context.fillRect(place / this.length * this.canvas.width - 1, this.canvas.height / 4, 2, this.canvas.height);
  }
}

function button(text, act) {
  const made = document.createElement('button');
  made.type = 'button';
  made.append(text);
  made.addEventListener('click', act);
  return made;
}

/** One cell of a CSV file; a text that a spreadsheet would compute is kept a text. */
function cell(text) {
  const kept = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return `"${kept.replaceAll('"', '""')}"`;
}

class Blind {
  constructor() {
    this.part = name => document.getElementById(`blind-${name}`);
    this.part('setup').addEventListener('submit', event => { event.preventDefault(); this.begin(); });
    this.part('stop').addEventListener('click', () => this.end());
    for (const one of document.querySelectorAll('[data-hear]')) one.addEventListener('click', () => this.hear(Number(one.dataset.hear)));
    for (const one of document.querySelectorAll('[data-answer]')) one.addEventListener('click', () => this.answer(one.dataset.answer));
  }

  begin() {
    const pair = ['one', 'other'].map(name => Number(this.part(name).value));
    this.part('note').textContent = pair[0] === pair[1] ? 'Choose two different ones.' : '';
    if (pair[0] === pair[1]) return;
    for (const item of items) item.sound.pause();
    this.trials = items.map(item => ({ item, order: Math.random() < 0.5 ? pair : [pair[1], pair[0]] }));
    for (let last = this.trials.length - 1; last > 0; last--) {
      const other = Math.floor(Math.random() * (last + 1));
      [this.trials[last], this.trials[other]] = [this.trials[other], this.trials[last]];
    }
    this.answers = [];
    document.body.classList.add('asking');
    this.part('setup').hidden = true;
    this.part('result').hidden = true;
    this.part('trial').hidden = false;
    this.ask();
  }

  ask() {
    if (this.answers.length === this.trials.length) return this.end();
    this.part('progress').textContent = `Pair ${this.answers.length + 1} of ${this.trials.length}`;
    this.heard = new Set();
    this.began = Date.now();
    document.querySelector('[data-hear="0"]').focus();
  }

  get trial() { return this.trials[this.answers.length]; }

  silence() { for (const item of items) for (const sound of item.sounds) sound.pause(); }

  hear(which) {
    this.silence();
    this.heard.add(which);
    const sound = this.trial.item.sounds[this.trial.order[which]];
    sound.currentTime = 0;
    sound.play().catch(() => {});
  }

  answer(answer) {
    if (this.heard.size < 2) {
      this.part('progress').textContent = `Pair ${this.answers.length + 1} of ${this.trials.length}: play both first`;
      return;
    }
    this.silence();
    const { item, order } = this.trial, names = order.map(number => item.takes[number].dataset.name);
    const better = { A: names[0], B: names[1], same: '' }[answer];
    this.answers.push({ key: item.key, a: names[0], b: names[1], better, seconds: ((Date.now() - this.began) / 1000).toFixed(1) });
    this.ask();
  }

  end() {
    this.silence();
    document.body.classList.remove('asking');
    this.part('trial').hidden = true;
    this.part('setup').hidden = false;
    this.part('result').hidden = false;
    const counts = new Map();
    for (const { better } of this.answers) counts.set(better, (counts.get(better) || 0) + 1);
    const said = [...counts].map(([name, number]) => `${name || 'no difference'}: ${number}`).join(', ');
    this.part('summary').textContent = this.answers.length ? `Of ${this.answers.length} pairs: ${said}.` : 'No pair was answered.';
    const lines = [['recording', 'a', 'b', 'better', 'seconds'], ...this.answers.map(each => [each.key, each.a, each.b, each.better, each.seconds])];
    const text = lines.map(line => line.map(cell).join(',')).join('\r\n') + '\r\n';
    this.part('save').href = URL.createObjectURL(new Blob([text], { type: 'text/csv' }));
    this.part('save').focus();
  }
}

function onKey(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || document.body.classList.contains('asking')) return;
  const tag = event.target.tagName, item = active || items[0];
  if (['INPUT', 'SELECT', 'TEXTAREA', 'A', 'SUMMARY'].includes(tag) || !item) return;
  const step = event.shiftKey ? 1 : 0.2, place = item.sound.currentTime;
  const acts = {
    ' ': () => item.toggle(),
    ArrowLeft: () => item.seek(place - step),
    ArrowRight: () => item.seek(place + step),
    ArrowUp: () => go(item, -1),
    ArrowDown: () => go(item, 1),
  };
  if (event.key === ' ' && tag === 'BUTTON') return; // it is pressed
  const act = /^[1-9]$/.test(event.key) ? () => item.choose(Number(event.key) - 1) : acts[event.key];
  if (!act) return;
  event.preventDefault();
  act();
}

/** To the recording before or after. */
function go(item, step) {
  const next = items[items.indexOf(item) + step];
  if (!next) return;
  if (!item.sound.paused) item.sound.pause();
  active = next;
  next.article.focus();
}

const dark = window.matchMedia('(prefers-color-scheme: dark)');
let active = null;
const items = [];
for (const article of document.querySelectorAll('.item')) items.push(new Item(article));
const watcher = new IntersectionObserver(entries => {
  for (const entry of entries) {
    const item = items.find(one => one.canvas === entry.target);
    item.visible = entry.isIntersecting;
    if (item.visible) item.show();
  }
});
for (const item of items) watcher.observe(item.canvas);
const showAll = () => items.forEach(item => item.show());
dark.addEventListener('change', showAll);
window.addEventListener('resize', showAll);
document.addEventListener('keydown', onKey);
for (const part of document.querySelectorAll('.scripted')) part.hidden = false;
new Blind();
