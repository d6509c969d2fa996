/**
 * The options of `mimic-video-probe`: one table, from which the parser and `--help` are made, so that neither knows an
 * option the other does not. Pure; files and folders are named here but not touched.
 */
import { UsageError } from "../../errors.ts";
import { wrap } from "../../probe/result/sentences.ts";

/** One option as it is typed and explained. */
export interface Option {
  /** Without the dashes. */
  name: string;
  /** How its value is written; undefined for a switch. */
  value?: string;
  /** The default as it is shown; undefined when there is none. */
  shownDefault?: string;
  help: string;
}

export const OPTIONS = [
  {
    name: "model",
    value: "DIR|owner/name[@revision]",
    shownDefault: "the toy that ships",
    help: "folder of a checkpoint, or its name on the Hub; what kind of system it is, is found out",
  },
  {
    name: "policy",
    value: "NAME",
    help: "which policy of a folder that holds several; when it is missing or wrong, those that exist are listed",
  },
  {
    name: "state-time",
    value: "r|t",
    help: "at which end of an interval of times the training had the state, for a MeanFlow checkpoint that does not say",
  },
  {
    name: "frozen",
    value: "DIR|owner/name[@revision]",
    shownDefault: "what the checkpoint names: beside it, or on the Hub",
    help: "folder of the parts that a checkpoint leaves to another, such as LingBot-VA's autoencoder and text encoder",
  },
  {
    name: "data",
    value: "DIR|owner/name[@revision]",
    shownDefault: "the model's own episodes",
    help: "folder with episodes.json and episodes.safetensors; or a LeRobot data set (2.0 to 3.0), its folder or its name on the Hub, of which only what is measured is read",
  },
  {
    name: "camera",
    value: "KEY,…",
    shownDefault: "the only one there is",
    help: "of a LeRobot set: the cameras that the model sees, in its order; an error lists what exists",
  },
  {
    name: "state",
    value: "KEY",
    shownDefault: "observation.state",
    help: "of a LeRobot set: the robot's state",
  },
  { name: "action", value: "KEY", shownDefault: "action", help: "of a LeRobot set: what was really done" },
  {
    name: "task",
    value: "TEXT",
    shownDefault: "all",
    help: "of a LeRobot set: only windows of this sentence, or of sentences that hold this",
  },
  {
    name: "fps",
    value: "N",
    shownDefault: "as the set declares",
    help: "of a LeRobot set: frames a second as they were really recorded",
  },
  {
    name: "resample",
    help: "of a LeRobot set: take the nearest frame where the model's rate does not divide the set's",
  },
  {
    name: "every",
    value: "SECONDS",
    shownDefault: "one window an episode, in its middle",
    help: "of a LeRobot set: windows so far apart along each episode; those of one episode count as one piece of evidence",
  },
  {
    name: "ends",
    value: "drop|pad",
    shownDefault: "drop",
    help: "of a LeRobot set: windows that pass their episode's end are left out and counted, or filled with its last frame and action, which no error is measured against",
  },
  {
    name: "embodiment",
    value: "bridge|libero|FILE",
    shownDefault: "the policy's own, where the set's names confirm it",
    help: "of a LeRobot set, for the release: what the numbers of states and actions mean; a JSON file for other layouts",
  },
  {
    name: "noise",
    value: "FILE",
    help: "safetensors with video_noise and action_noise, used instead of noise drawn from seeds; seeds then number its rows",
  },
  {
    name: "text",
    value: "FILE",
    help: "embeddings of the prompts, for models whose text encoder is large: safetensors with text.0, text.1, … and a JSON list of prompts in its metadata, or a .pt or pickle file of the release",
  },
  {
    name: "encode-text",
    help: "run the model's own text encoder, layer by layer, even where it must be downloaded (T5-11B: 45 GB); results are cached",
  },
  {
    name: "oracle",
    help: "also decode from the recorded future, noised as at each probe step, where the episodes hold one",
  },
  {
    name: "straightness",
    help: "also measure how straight the flow's own way is, by forward-mode derivatives, where it can be differentiated",
  },
  {
    name: "episodes",
    value: "N|i,j,…|all",
    shownDefault: "24 for the toy, else 4",
    help: 'how many episodes from the first on, or a list of indices ("3," is only episode 3)',
  },
  {
    name: "video-steps",
    value: "N",
    shownDefault: "the system's own, 50 for the toy",
    help: "steps of the video's schedule, from noise to clean",
  },
  {
    name: "probe-steps",
    value: "k,k,…",
    shownDefault: "0,5,20,50 for the toy, else 0,5,10,20,40,50, scaled to N",
    help: "video steps, ascending in 0..N, whose hidden states condition a full decode; the end of a schedule is always added",
  },
  {
    name: "budgets",
    value: "N,N,…",
    shownDefault: "none, or those of the system",
    help: "also run whole schedules of so many steps, such as 1,2,5,10,50, and read each at its end: another question than stopping early; the schedule of --video-steps is always added",
  },
  {
    name: "action-steps",
    value: "M",
    shownDefault: "the model's own",
    help: "Euler steps of the action flow, from noise to action",
  },
  {
    name: "video-seeds",
    value: "V|s,s,…",
    shownDefault: "1 for the toy, else 2",
    help: "how many seeds of video noise (0, 1, …), or a list of them",
  },
  {
    name: "action-seeds",
    value: "S|s,s,…|same",
    shownDefault: "the system's habit, 1 for the toy",
    help: "how many seeds of action noise (0, 1, …), a list of them, or the video's own for each",
  },
  {
    name: "reference",
    value: "final|truth|both",
    shownDefault: "both",
    help: "which references figure and summary show; probe.json has all that are known",
  },
  {
    name: "margin",
    value: "X",
    shownDefault: "5 % of the hold-still error, else of the dataset mean's, else of zeroed context's",
    help: "how much worse than the last a sufficient step may be, in squared normalised action units",
  },
  {
    name: "adapter",
    value: "NAME|software",
    shownDefault: "the best there is",
    help: "the GPU to use, by a part of its name; software: a CPU that plays GPU",
  },
  {
    name: "dtype",
    value: "f32|bf16|f16",
    shownDefault: "f32; bf16 for the release",
    help: "how weights are kept on the GPU; arithmetic is float32. bf16 keeps what is stored so; f16 rounds all others",
  },
  {
    name: "arithmetic",
    value: "f32|f16",
    shownDefault: "f32",
    help: "in what matrix products multiply, where the adapter has shader-f16; sums are float32 either way",
  },
  {
    name: "gpu-memory",
    value: "GB",
    help: "memory of the graphics card, which WebGPU does not tell: the plan is made to fit, or says what does not",
  },
  {
    name: "ignore-unexpected",
    help: "load a checkpoint although it has tensors that the model does not know; missing ones are refused all the same",
  },
  {
    name: "rename",
    value: "OLD=NEW,…",
    help: "prefixes of a checkpoint's keys: OLD as they are stored, NEW as the model asks for them; an empty OLD puts NEW before every key",
  },
  {
    name: "allow-nonfinite",
    help: "load weights although some are NaN or infinite; without it they are refused by name",
  },
  {
    name: "no-verify",
    help: "read a torch checkpoint although its checksums are wrong",
  },
  {
    name: "variants",
    value: "K=V,…",
    help: "force programs of kernels by name; linear=subgroupMatrix is half precision, on GPUs with matrix units",
  },
  {
    name: "out",
    value: "DIR",
    shownDefault: "results/<model>-<date-time>",
    help: "folder for probe.json, run.json, action_convergence.png, actions.safetensors and finished episodes (units/)",
  },
  {
    name: "resume",
    help: "continue the interrupted run in --out with the same options: its finished episodes are not computed again",
  },
  {
    name: "shard",
    value: "i/n",
    help: "measure only part i (from 0) of n of episodes × video seeds; the other settings are those of the whole run. See docs/cluster.md",
  },
  { name: "quiet", help: "no progress and no summary; errors are still printed" },
  { name: "json", help: "print probe.json to stdout, everything else to stderr" },
  { name: "help", help: "print this and stop" },
  { name: "version", help: "print the version and stop" },
] as const satisfies readonly Option[];

/** Every option's name. */
export type OptionName = (typeof OPTIONS)[number]["name"];

/** What was typed, by option; a switch that was given is "". */
export type TypedOptions = Partial<Record<OptionName, string>>;

const HEAD = [
  "mimic-video-probe: after how many denoising steps does the action stop changing?",
  "Decodes actions from the hidden states of a video denoiser at several steps, measures how far each decode is from the last one and from " +
    "the true actions (mean squared error in normalised action units), and draws the curves with floors, controls, 95 % intervals and the " +
    "null curve of a straight flow.",
];

const USAGE = [
  { left: "node dist/probe.js [options]", right: "" },
  { left: "node dist/probe.js plot probe.json --out DIR", right: "the figure again, without a GPU" },
  {
    left: "node dist/probe.js compare A.json B.json … --out DIR",
    right: "several runs in one figure, and how they differ",
  },
  { left: "node dist/probe.js merge DIR … --out DIR", right: "the parts of a run (--shard) as one" },
];

const TAIL =
  "Exit codes: 0 done, 1 failed, 2 wrong options, 130 interrupted (finished episodes stay; see --resume).";

/** The text of `--help`, at most `width` characters wide, and never wider than is easily read. */
export function helpText(width = 110): string {
  const room = Math.min(110, width);
  const options = OPTIONS.map((option: Option) => ({
    left: `--${option.name}${option.value ? ` ${option.value}` : ""}`,
    right: option.help + (option.shownDefault === undefined ? "" : ` (default: ${option.shownDefault})`),
  }));
  return [
    ...HEAD.flatMap((paragraph) => [...wrap(paragraph, room), ""]),
    "Usage:",
    ...USAGE.flatMap(({ left, right }) => [
      `  ${left}`,
      ...(right === "" ? [] : wrap(right, room - 6).map((line) => `      ${line}`)),
    ]),
    "",
    "Options:",
    ...columns(options, room),
    "",
    ...wrap(TAIL, room),
    "",
  ].join("\n");
}

/** Rows of two columns, the second wrapped; what is too long for the first stands on a line of its own. */
function columns(rows: readonly { left: string; right: string }[], width: number): string[] {
  const indent = Math.min(Math.max(...rows.map(({ left }) => left.length)) + 4, Math.floor(width / 2));
  return rows.flatMap(({ left, right }) => {
    const lines = wrap(right, width - indent);
    const head = `  ${left}`;
    const beside = head.length + 2 <= indent ? lines.shift() : undefined;
    return [
      beside === undefined ? head : head.padEnd(indent) + beside,
      ...lines.map((l) => " ".repeat(indent) + l),
    ];
  });
}

/**
 * Sorts command-line words into options. `--name value` and `--name=value` are the same.
 *
 * @throws UsageError for an unknown option (with the nearest known one), a missing or superfluous value, a word that
 *   belongs to no option, an option given twice.
 */
export function readOptions(words: readonly string[]): TypedOptions {
  const typed: TypedOptions = {};
  for (let i = 0; i < words.length; i++) {
    const word = words[i];
    if (word === "-h") {
      typed.help = "";
      continue;
    }
    if (!word.startsWith("--"))
      throw new UsageError(`"${word}" belongs to no option. Every setting has a name: see --help.`);
    const equals = word.indexOf("=");
    const name = word.slice(2, equals < 0 ? undefined : equals);
    const option: Option | undefined = OPTIONS.find((known) => known.name === name);
    if (!option)
      throw new UsageError(`--${name} is no option.${suggestion(name)} See --help for all of them.`);
    const key = option.name as OptionName;
    if (typed[key] !== undefined) throw new UsageError(`--${name} was given twice. Give it once.`);
    if (option.value === undefined) {
      if (equals >= 0)
        throw new UsageError(`--${name} takes no value, but "${word}" gives one. Write --${name} alone.`);
      typed[key] = "";
    } else {
      const value = equals >= 0 ? word.slice(equals + 1) : words[++i];
      if (value === undefined || value === "" || (equals < 0 && value.startsWith("--")))
        throw new UsageError(`--${name} needs a value: --${name} ${option.value}.`);
      typed[key] = value;
    }
  }
  return typed;
}

/** The known option that takes the fewest edits to reach, if that is few enough to be what was meant. */
function suggestion(name: string): string {
  const distances = OPTIONS.map((option) => ({ name: option.name, edits: editDistance(name, option.name) }));
  const best = distances.reduce((a, b) => (b.edits < a.edits ? b : a));
  return best.edits <= Math.max(2, name.length / 3) ? ` Did you mean --${best.name}?` : "";
}

/** Levenshtein distance. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next.push(Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length];
}
