"use strict";
(() => {
  const byId = (name) => document.getElementById(name);
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const redraws = [];
  const redraw = () => redraws.forEach((draw) => draw());

  // Light or dark: as the reader's system has it until the button says otherwise.
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme || (dark.matches ? "dark" : "light")) === "dark";
  byId("theme").addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    redraw();
  });
  dark.addEventListener("change", redraw);

  // Paper is light, shows the first rows, and every picture as a whole.
  const beforePrinting = [];
  let printing = false;
  let themeBefore;
  addEventListener("beforeprint", () => {
    if (printing) return;
    printing = true;
    themeBefore = root.dataset.theme;
    root.dataset.theme = "light";
    beforePrinting.forEach((prepare) => prepare());
    redraw();
  });
  addEventListener("afterprint", () => {
    if (!printing) return;
    printing = false;
    if (themeBefore) root.dataset.theme = themeBefore;
    else delete root.dataset.theme;
    redraw();
  });

  // The ranking: sorted by a column, filtered by words, one stop of the Tab key.
  const table = byId("ranking");
  const rows = table ? all("tbody tr", table) : [];
  const body = table && table.tBodies[0];
  const heads = table ? all("thead th", table) : [];
  const value = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.value === undefined ? cell.textContent : Number(cell.dataset.value);
  };
  const sortBy = (column) => {
    const up = heads[column].getAttribute("aria-sort") !== "ascending";
    heads.forEach((head) => head.removeAttribute("aria-sort"));
    heads[column].setAttribute("aria-sort", up ? "ascending" : "descending");
    const order = (one, other) => {
      const [a, b] = [value(one, column), value(other, column)];
      const found = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
      return (up ? found : -found) || value(one, 0) - value(other, 0);
    };
    body.append(...[...rows].sort(order));
  };
  heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => sortBy(column)));

  const filter = byId("filter");
  const withoutTight = byId("without-tight");
  const show = () => {
    const words = filter.value.toLowerCase().split(/[\s,]+/).filter(Boolean);
    let count = 0;
    for (const row of rows) {
      const has = row.dataset.words.toLowerCase().split(/[\s,]+/);
      const fits = words.every((word) => has.some((one) => one === word || (!/\d$/.test(word) && one.startsWith(word))));
      const shown = row.dataset.plan === "mine" || (fits && !(withoutTight.checked && row.dataset.tight !== undefined));
      row.hidden = !shown;
      count += shown;
    }
    byId("shown").textContent = `${count} of ${rows.length} plans`;
  };
  if (filter) {
    filter.addEventListener("input", show);
    withoutTight.addEventListener("change", show);
  }

  let chosen = "1";
  const onChoice = [];
  const choose = (row) => {
    chosen = row.dataset.plan;
    rows.forEach((one) => {
      one.tabIndex = one === row ? 0 : -1;
      one.classList.toggle("chosen", one === row);
      if (one === row) one.setAttribute("aria-current", "true");
      else one.removeAttribute("aria-current");
    });
    onChoice.forEach((react) => react(chosen));
  };
  rows.forEach((row) => row.addEventListener("click", () => choose(row)));
  if (body) body.addEventListener("keydown", (event) => {
    const shown = [...body.rows].filter((row) => !row.hidden);
    const at = shown.indexOf(event.target.closest("tr"));
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: shown.length - 1 }[event.key];
    if (to === undefined || !shown[to]) return;
    event.preventDefault();
    choose(shown[to]);
    shown[to].focus();
  });

  // Copying a launch text; where the browser forbids that, it is at least selected.
  all("button[data-copies]").forEach((button) => button.addEventListener("click", async () => {
    const text = byId(button.dataset.copies);
    const done = (said) => {
      button.textContent = said;
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    };
    try {
      await navigator.clipboard.writeText(text.textContent);
      done("Copied");
    } catch {
      getSelection().selectAllChildren(text);
      done("Selected");
    }
  }));

  // What the page carries, unpacked.
  const unpack = async (element) => {
    const packed = Uint8Array.from(atob(element.textContent), (one) => one.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Response(stream).arrayBuffer();
  };
  const colour = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();

  // A canvas in the pixels of its screen; null while it has no size.
  const prepared = (canvas) => {
    const { clientWidth: width, clientHeight: height } = canvas;
    if (!width || !height) return null;
    const ratio = devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    pen.font = "13px system-ui, sans-serif";
    return { pen, width, height };
  };
  const onSize = (canvas, draw) => {
    redraws.push(draw);
    new ResizeObserver(draw).observe(canvas);
    draw();
  };
  const steps = (low, high, most) => {
    const least = (high - low) / most;
    const power = 10 ** Math.floor(Math.log10(least));
    const step = [1, 2, 5, 10].map((times) => times * power).find((one) => one >= least);
    const found = [];
    for (let at = Math.ceil(low / step) * step; at <= high + step / 1e6; at += step) found.push(at);
    return found;
  };
  const number = (value) => String(Number(value.toPrecision(4)));

  // Every combination that fits: step time (logarithmic) against peak memory.
  const cloudPicture = byId("cloud-picture");
  const drawCloud = (data) => {
    const config = JSON.parse(cloudPicture.dataset.config);
    const gib = (bytes) => bytes / config.gib;
    const { step_bound_s: bounds, peak_bytes: peaks } = data;
    const drawn = [];
    bounds.forEach((one, at) => { if (one <= config.slowest && peaks[at] <= config.usable) drawn.push(at); });
    const marks = config.marks;
    const xs = [...drawn.map((at) => bounds[at]), ...marks.map((one) => one.x), ...marks.slice(0, 1).flatMap((one) => one.xs || [])];
    const ys = [...drawn.map((at) => peaks[at]), ...marks.map((one) => one.y), config.capacity];
    const low = xs.reduce((a, b) => Math.min(a, b)) * 0.97;
    const high = xs.reduce((a, b) => Math.max(a, b)) * 1.03;
    const top = ys.reduce((a, b) => Math.max(a, b)) * 1.06;
    let place;
    let hovered = null;
    const draw = () => {
      const ready = prepared(cloudPicture);
      if (!ready) return;
      const { pen, width, height } = ready;
      const [left, right, above, below] = [40, 10, 18, 34];
      const x = (value) => left + (width - left - right) * Math.log(value / low) / Math.log(high / low);
      const y = (value) => above + (height - above - below) * (1 - value / top);
      place = (at) => [x(bounds[at]), y(peaks[at])];
      pen.strokeStyle = colour("line");
      pen.fillStyle = colour("soft");
      pen.textAlign = "right";
      for (const value of steps(0, gib(top), 5)) {
        pen.fillRect(left, y(value * config.gib), width - left - right, 0);
        pen.beginPath();
        pen.moveTo(left, y(value * config.gib));
        pen.lineTo(width - right, y(value * config.gib));
        pen.stroke();
        pen.fillText(number(value), left - 5, y(value * config.gib) + 4);
      }
      pen.textAlign = "left";
      pen.fillText("peak, GiB", 2, 12);
      pen.textAlign = "center";
      let last = -Infinity;
      for (const value of [...steps(low, Math.min(high, 2 * low), 4), ...steps(Math.min(high, 2 * low), high, 4)]) {
        if (x(value) - last < 34) continue;
        last = x(value);
        pen.fillText(number(value), last, height - below + 16);
      }
      pen.fillText("step, s (logarithmic)", (left + width) / 2, height - 4);
      pen.globalAlpha = 0.16;
      pen.fillStyle = colour("limit");
      pen.fillRect(left, y(config.capacity), width - left - right, y(config.usable) - y(config.capacity));
      pen.globalAlpha = config.close ? 0.55 : 0.3;
      pen.fillStyle = colour("soft");
      for (const at of drawn) pen.fillRect(x(bounds[at]) - 1, y(peaks[at]) - 1, 2, 2);
      pen.globalAlpha = 1;
      pen.strokeStyle = colour("limit");
      pen.lineWidth = 1.5;
      pen.beginPath();
      pen.moveTo(left, y(config.usable));
      pen.lineTo(width - right, y(config.usable));
      pen.stroke();
      pen.fillStyle = colour("limit");
      pen.textAlign = "right";
      pen.fillText(`may be used: ${number(gib(config.usable))} GiB`, width - right - 2, y(config.capacity) - 4);
      pen.strokeStyle = colour("accent");
      pen.lineWidth = 2;
      pen.beginPath();
      config.front.filter((one) => one[0] <= high).forEach(([step, peak], at, points) => {
        if (at) pen.lineTo(x(step), y(points[at - 1][1]));
        pen[at ? "lineTo" : "moveTo"](x(step), y(peak));
      });
      pen.stroke();
      for (const mark of [...marks].reverse()) {
        const own = mark.name === "mine";
        const [a, b] = [x(mark.x), y(mark.y)];
        const strong = own || mark.name === chosen || mark.name === "1";
        pen.strokeStyle = pen.fillStyle = own ? colour("limit") : strong ? colour("ink") : colour("tensor_comm");
        if ((mark.name === chosen || own) && mark.xs) {
          pen.lineWidth = 1;
          pen.beginPath();
          pen.moveTo(x(Math.max(mark.xs[0], low)), b);
          pen.lineTo(x(Math.min(mark.xs[1], high)), b);
          pen.moveTo(a, y(Math.min(mark.ys[1], top)));
          pen.lineTo(a, y(mark.ys[0]));
          pen.stroke();
        }
        pen.lineWidth = strong ? 2 : 1.3;
        pen.beginPath();
        if (own) {
          pen.moveTo(a, b - 7); pen.lineTo(a + 7, b); pen.lineTo(a, b + 7); pen.lineTo(a - 7, b); pen.closePath();
          pen.fill();
        } else {
          pen.arc(a, b, mark.name === chosen ? 6 : 4, 0, 7);
          pen.stroke();
        }
        if (mark.name === chosen || own) {
          const said = own ? "mine" : `plan ${mark.name}`;
          const over = pen.measureText(said).width + a + 16 > width;
          pen.textAlign = over ? "right" : "left";
          pen.lineWidth = 4;
          pen.strokeStyle = colour("card");
          pen.strokeText(said, a + (over ? -10 : 10), b - 8);
          pen.fillText(said, a + (over ? -10 : 10), b - 8);
        }
      }
      if (hovered !== null) {
        pen.lineWidth = 2;
        pen.strokeStyle = colour("accent");
        pen.strokeRect(...place(hovered).map((one) => one - 4), 8, 8);
      }
    };
    const read = byId("cloud-readout");
    const words = (at) => {
      const more = ["context", "expert", "expert_tensor"].map((axis, which) => data[axis][at] === 1 ? "" : ` ${["c", "e", "et"][which]}${data[axis][at]}`).join("");
      const chunks = data.virtual_stages[at] === 1 ? "" : `×${data.virtual_stages[at]}`;
      return `t${data.tensor[at]} p${data.pipeline[at]} d${data.data[at]}${more}, micro-batch ${data.micro_batch_size[at]}, ${data.schedule[at]}${chunks}, recompute ${data.recompute[at]}, sharding ${data.data_sharding[at]}: at least ${number(bounds[at])} s, ${gib(peaks[at]).toFixed(1)} GiB`;
    };
    cloudPicture.addEventListener("pointermove", (event) => {
      if (!place) return;
      let least = 200;
      let found = null;
      for (const at of drawn) {
        const [a, b] = place(at);
        const far = (a - event.offsetX) ** 2 + (b - event.offsetY) ** 2;
        if (far < least) [least, found] = [far, at];
      }
      if (found === hovered) return;
      hovered = found;
      read.textContent = found === null ? "" : words(found);
      draw();
    });
    cloudPicture.addEventListener("pointerleave", () => { hovered = null; read.textContent = ""; draw(); });
    onChoice.push(draw);
    onSize(cloudPicture, draw);
  };

  const cannotUnpack = (canvas, error) => {
    const said = document.createElement("p");
    said.className = "note";
    said.textContent = `This browser cannot draw the picture (${error.message}); the table has its figures.`;
    canvas.parentElement.replaceWith(said);
  };
  const carried = byId("planner-document");
  if (cloudPicture) {
    unpack(carried)
      .then((data) => drawCloud(JSON.parse(new TextDecoder().decode(data)).search.cloud))
      .catch((error) => cannotUnpack(cloudPicture, error));
  }

  // The pipeline: columns of gaps and of numbers of (duration, kind), drawn a pixel at a time.
  const pipelinePicture = byId("pipeline-picture");
  const drawPipeline = (buffer) => {
    const config = JSON.parse(pipelinePicture.dataset.config);
    const total = config.counts.reduce((a, b) => a + b, 0);
    const gaps = new Int32Array(buffer, 0, total);
    const codes = new Uint16Array(buffer, 4 * total, total);
    const kinds = [...new Set(config.lasting.map(([, kind]) => kind))];
    let first = 0;
    const rows = config.counts.map((count) => {
      const row = { start: new Int32Array(count), end: new Int32Array(count), code: new Uint16Array(count) };
      let now = 0;
      for (let at = 0; at < count; at += 1) {
        const code = codes[first + at] & (config.critical - 1);
        row.start[at] = now + gaps[first + at];
        now = row.start[at] + config.lasting[code][0];
        row.end[at] = now;
        row.code[at] = codes[first + at];
      }
      first += count;
      return row;
    });
    const kindOf = (code) => config.lasting[code & (config.critical - 1)][1];
    const onPath = (code) => code >= config.critical;
    const end = Math.max(config.end, ...config.extra.map((one) => one[3]));
    let [from, to] = [0, end];
    const left = 30;
    const seconds = (units) => (units * config.unit).toFixed(to - from < end / 20 ? 3 : 2);
    // The first pass of a row that ends after a moment.
    const search = (row, moment) => {
      let [low, high] = [0, row.end.length];
      while (low < high) {
        const middle = (low + high) >> 1;
        if (row.end[middle] <= moment) low = middle + 1;
        else high = middle;
      }
      return low;
    };
    let scheduled = false;
    const draw = () => {
      scheduled = false;
      const ready = prepared(pipelinePicture);
      if (!ready) return;
      const { pen, width, height } = ready;
      const room = width - left - 6;
      const axis = 24;
      const each = (height - axis) / rows.length;
      const tall = Math.max(each - (each > 8 ? 3 : each > 3 ? 1 : 0), 1);
      const scale = room / (to - from);
      const x = (units) => left + (units - from) * scale;
      const fills = Object.fromEntries([...kinds, "reduction", "optimizer"].map((kind) => [kind, colour(kind)]));
      pen.textAlign = "right";
      pen.fillStyle = colour("soft");
      const every = Math.ceil(14 / each);
      rows.forEach((_, stage) => { if (stage % every === 0) pen.fillText(String(stage), left - 6, stage * each + tall / 2 + 5); });
      pen.save();
      pen.beginPath();
      pen.rect(left, 0, room, height);
      pen.clip();
      let seen = 0;
      rows.forEach((row, stage) => {
        const y = stage * each;
        const begin = search(row, from);
        let stop = begin;
        while (stop < row.start.length && row.start[stop] < to) stop += 1;
        seen += stop - begin;
        if ((stop - begin) * 5 <= room) {
          for (let at = begin; at < stop; at += 1) {
            pen.fillStyle = fills[kindOf(row.code[at])];
            const wide = (row.end[at] - row.start[at]) * scale;
            pen.fillRect(x(row.start[at]), y, Math.max(wide > 4 ? wide - 1 : wide, 0.4), tall);
          }
        } else {
          // Several passes in a column: its shares of each kind from below, and idle left empty.
          const columns = Math.ceil(room / 2);
          const share = kinds.map(() => new Float32Array(columns));
          for (let at = begin; at < stop; at += 1) {
            const which = kinds.indexOf(kindOf(row.code[at]));
            const [low, high] = [Math.max((row.start[at] - from) * scale / 2, 0), Math.min((row.end[at] - from) * scale / 2, columns)];
            for (let column = Math.floor(low); column < high; column += 1) {
              share[which][column] += Math.min(high, column + 1) - Math.max(low, column);
            }
          }
          for (let column = 0; column < columns; column += 1) {
            let below = y + tall;
            kinds.forEach((kind, which) => {
              const part = share[which][column] * tall;
              if (part <= 0) return;
              pen.fillStyle = fills[kind];
              pen.fillRect(left + 2 * column, below - part, 2, part);
              below -= part;
            });
          }
        }
        pen.fillStyle = colour("ink");
        const strip = Math.min(3, tall / 4);
        let until = -1;
        for (let at = begin; at < stop; at += 1) {
          if (!onPath(row.code[at])) continue;
          const [a, b] = [x(row.start[at]), x(row.end[at])];
          if (b < until) continue;
          pen.fillRect(a, y + tall - strip, Math.max(b - a, 1), strip);
          until = b;
        }
      });
      for (const [stage, kind, start, stop] of config.extra) {
        if (stop < from || start > to) continue;
        pen.fillStyle = fills[kind];
        const [a, b] = [Math.round(x(start)), Math.round(x(stop))];
        pen.fillRect(a, Math.round(stage * each), Math.max(b - a, 1), kind === "optimizer" ? tall : Math.max(tall / 3, 1));
      }
      pen.restore();
      pen.fillStyle = colour("soft");
      pen.textAlign = "center";
      for (const value of steps(from * config.unit, to * config.unit, Math.max(4, Math.floor(room / 110)))) {
        const at = x(value / config.unit);
        if (at < left + 12 || at > width - 24) continue;
        pen.fillRect(at, height - axis, 1, 5);
        pen.fillText(`${number(value)} s`, at, height - 5);
      }
      byId("pipeline-shown").textContent = `${seconds(from)}–${seconds(to)} s, ${seen.toLocaleString("en")} passes`;
    };
    const plan = () => {
      if (scheduled) return;
      scheduled = true;
      requestAnimationFrame(draw);
    };
    const least = Math.max(...config.lasting.map(([length]) => length), 1);
    const show = (a, b) => {
      const wide = Math.min(Math.max(b - a, least), end);
      from = Math.min(Math.max(a, 0), end - wide);
      to = from + wide;
      plan();
    };
    const zoom = (times, about = (from + to) / 2) => show(about - (about - from) / times, about + (to - about) / times);
    const move = (share) => show(from + share * (to - from), to + share * (to - from));
    const few = () => Math.min(end, least * 14);
    const actions = {
      in: () => zoom(2), out: () => zoom(0.5), all: () => show(0, end),
      first: () => show(0, few()), last: () => show(end - few(), end),
    };
    all("button[data-zoom]").forEach((button) => button.addEventListener("click", actions[button.dataset.zoom]));
    const keys = {
      "+": actions.in, "=": actions.in, "-": actions.out, "−": actions.out, w: actions.in, s: actions.out,
      ArrowLeft: () => move(-0.25), ArrowRight: () => move(0.25), a: () => move(-0.25), d: () => move(0.25), Home: actions.all,
    };
    pipelinePicture.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
      event.preventDefault();
      keys[event.key]();
    });
    const units = (event) => from + (event.offsetX - left) / (pipelinePicture.clientWidth - left - 6) * (to - from);
    pipelinePicture.addEventListener("wheel", (event) => {
      if (!event.ctrlKey) return;
      event.preventDefault();
      zoom(Math.exp(-event.deltaY / 300), units(event));
    }, { passive: false });
    let dragged = null;
    pipelinePicture.addEventListener("pointerdown", (event) => {
      dragged = { at: event.offsetX, from, to };
      pipelinePicture.setPointerCapture(event.pointerId);
    });
    pipelinePicture.addEventListener("pointerup", () => { dragged = null; });
    pipelinePicture.addEventListener("pointermove", (event) => {
      if (dragged) {
        const far = (dragged.at - event.offsetX) / (pipelinePicture.clientWidth - left - 6) * (dragged.to - dragged.from);
        show(dragged.from + far, dragged.to + far);
        return;
      }
      const stage = Math.min(Math.floor(event.offsetY / ((pipelinePicture.clientHeight - 24) / rows.length)), rows.length - 1);
      const row = rows[Math.max(stage, 0)];
      const now = units(event);
      const at = search(row, now);
      const busy = at < row.start.length && row.start[at] <= now;
      const others = config.extra.filter((one) => one[0] === stage && one[2] <= now && now < one[3]).map((one) => one[4]);
      const said = busy
        ? `${kindOf(row.code[at]).replace("_", " ")}, ${seconds(row.start[at])}–${seconds(row.end[at])} s${onPath(row.code[at]) ? ", the step waits for it" : ""}`
        : others.length ? "" : "idle";
      byId("pipeline-readout").textContent = `stage ${stage} at ${seconds(now)} s: ${[said, ...others].filter(Boolean).join("; ")}`;
    });
    beforePrinting.push(() => { [from, to] = [0, end]; });
    onSize(pipelinePicture, draw);
  };
  if (pipelinePicture) {
    unpack(byId("pipeline-data")).then(drawPipeline).catch((error) => cannotUnpack(pipelinePicture, error));
  }
})();
