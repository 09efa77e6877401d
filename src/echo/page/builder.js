// ---- The builder of `do` ----

/** Edits the steps in the URL field, which is the only place where they are. */
class Builder {
  #url = byId("url");
  #step = byId("step");
  #value = byId("step-value");
  #time = byId("step-when");
  /** One step is added after another, since the server is asked before. */
  #adding = Promise.resolve();

  /** `handlers.problem` says what is wrong with the steps of a URL, `handlers.changed` is told of another URL. */
  constructor(handlers) {
    this.handlers = handlers;
    this.#step.append(...STEPS.map(({ name }) => make("option", { value: name }, name)));
    this.#step.value = "close";
    this.#step.addEventListener("input", () => this.#choose());
    byId("faults").addEventListener("submit", (event) => {
      event.preventDefault();
      const step = stepOf(this.#step.value, this.#value.value.trim(), this.#time.value.trim());
      this.#adding = this.#adding.then(() => this.#add(step));
    });
    byId("step-clear").addEventListener("click", () => this.#set([]));
    byId("copy-do").addEventListener("click", ({ target }) => copy(byId("do-text").textContent, target));
    this.#choose();
  }

  /** Lists the steps that are in the URL. Where it takes none, there are none to choose. */
  show(isOff) {
    const steps = stepsOf(this.#url.value);
    const count = steps.length ? `${steps.length} in the URL` : "";
    byId("faults-count").textContent = isOff ? "off" : count;
    byId("faults-off").hidden = !isOff;
    byId("step-fields").hidden = isOff;
    byId("do").hidden = byId("step-clear").disabled = steps.length === 0;
    write("do-text", doParameter(steps));
    byId("steps").replaceChildren(...steps.map((step, index) => this.#item(step, steps.toSpliced(index, 1))));
  }

  #item(step, others) {
    const remove = make("button", { type: "button", ariaLabel: `Remove ${step}` }, "Remove");
    remove.addEventListener("click", () => {
      this.#set(others);
      byId("step-fields").hidden ? this.#url.focus() : this.#step.focus();
    });
    return make("li", {}, make("code", {}, step), remove);
  }

  #choose() {
    const { values = [], times = [], help } = stepNamed(this.#step.value);
    const options = (texts) => texts.map((value) => make("option", { value }));
    write("step-help", help);
    byId("step-values").replaceChildren(...options(values));
    byId("step-times").replaceChildren(...options(times));
    [this.#value.disabled, this.#time.disabled] = [values.length === 0, times.length === 0];
    [this.#value.value, this.#time.value] = [values[0] ?? "", ""];
    this.#time.placeholder = times.length ? `at once; ${times.join(", ")}` : "";
    this.#complain("");
  }

  /** Adds a step to the others, or where the server does not take it beside those of its name, in place of them. */
  async #add(step) {
    const { value: url } = this.#url;
    const [all, others] = [stepsOf(url), stepsOf(url).filter((other) => nameOf(other) !== nameOf(step))];
    // What is wrong already is no reason against a step that is right.
    const before = await this.handlers.problem(url);
    let problem = "";
    for (const kept of all.includes(step) || before !== "" ? [others] : [all, others]) {
      problem = await this.handlers.problem(withSteps(url, [...kept, step]));
      if (problem && problem !== before) continue;
      if (this.#url.value === url) this.#set([...kept, step]);
      this.#complain("");
      write("step-note", problem === null ? "Not checked: only the server of this page can be asked." : "");
      return;
    }
    this.#complain(problem);
  }

  #complain(problem) {
    for (const field of [this.#value, this.#time]) field.ariaInvalid = String(problem !== "" && !field.disabled);
    write("step-problem", problem);
    write("step-note", "");
  }

  #set(steps) {
    this.#url.value = withSteps(this.#url.value, steps);
    this.handlers.changed();
  }
}

