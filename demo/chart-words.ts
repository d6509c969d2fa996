/** What the curves and lines of the plots mean, said where they are drawn. */
export const ABOUT = {
  "to the truth":
    "Mean squared error of the action that is decoded in full from the hidden states of a step, against the recorded action.",
  "to the last decode":
    "How far the action decoded at a step is from the one decoded at the last step, from the same noise. It is 0 there by definition: only how early it falls says something.",
  "whole schedules":
    "Whole schedules of fewer steps, each read at its end; they stand where as many calls of the network were spent.",
  "recorded future": "The same decoder, given the recorded future in place of the imagined one.",
  "the iterate itself": "What is being denoised, as it is after that step, still part noise.",
  "the noise that is left":
    "What the noise that is left would give by itself, whatever was learned. A curve that follows it says nothing.",
  iterate: "Iterate: the action as it is after so many steps of its own denoising, still part noise.",
  "one jump": "One jump: the clean action foretold at a step, by one stride along the velocity there.",
  "inside to the truth": "Measured against the recorded action.",
  "inside to its end":
    "Measured against the end of the same decode, so it is 0 at the last step by definition.",
  null: "Null: what a flow gives that runs straight from noise to its end, whatever was learned. An iterate that follows it says nothing about when the action is known.",
  "hold still": "what a robot scores that does not move.",
  "dataset mean": "what the mean of all recorded actions scores, whatever the scene.",
  "zeroed context": "the decoder with hidden states that are all zero.",
  "another episode's context": "the decoder with the hidden states of another episode.",
  "shuffled frames": "the decoder with the hidden states of its own frames, looked at in another order.",
} as const;

/** Short names for the ends of lines. */
export const SHORT: Readonly<Record<string, string>> = {
  "zeroed context": "no context",
  "another episode's context": "other’s context",
  "shuffled frames": "shuffled",
};
