/** Policies from file names: the published folder's, the miniatures', and folders that lack something. */
import { expect, test } from "vitest";
import { FormatError, UsageError } from "../../../src/errors.ts";
import { choosePolicy, policyNames } from "../../../src/systems/mimic-video-release/policies.ts";
import { openModelFolder } from "../../../src/weights/model-files.node.ts";
import { folderOf } from "./miniatures.ts";

const lora = "bridge_lora_rank256_lr1.778e-04_bsz64_iter_000070043_fused";
const goal = "libero_goal_agentview_lora_rank256_lr1.778e-04_bsz32_iter_000007020_fused";
const published = [
  "action_decoder/w2a_bridge_v2w_pretrained_cosmos_lr1.000e-04_layer20_bsz256_iter_000014112.pt",
  `action_decoder/w2a_bridge_v2w_${lora}_lr1.000e-04_layer20_bsz256_iter_000014112.pt`,
  `action_decoder/w2a_libero_goal_half_v2w_${goal}_lr1.000e-04_layer20_bsz128_iter_000050022.pt`,
  `action_decoder/w2a_libero_goal_one_v2w_${goal}_lr1.000e-04_layer19_bsz128_iter_000019998.pt`,
  "dataset_statistics/bridge.json",
  "dataset_statistics/libero_goal_half.json",
  "text_encoder/t5-11b/pytorch_model.bin",
  `video_backbone/v2w_${goal}.pt`,
  `video_backbone/v2w_${lora}.pt`,
  "video_backbone/tokenizer/tokenizer.pth",
  "video_backbone/v2w_pretrained_cosmos.pt",
];
const choose = (asked?: string, paths: readonly string[] = published) =>
  choosePolicy("mimic-video", paths, asked);

test("names of the published folder", () => {
  expect(policyNames(published)).toEqual([
    "bridge@bridge_lora",
    "bridge@pretrained_cosmos",
    "libero_goal_half",
    "libero_goal_one",
  ]);
});

test("backbone, layer and statistics follow", () => {
  expect(choose("bridge@bridge_lora")).toEqual({
    name: "bridge@bridge_lora",
    decoder: published[1],
    backboneName: lora,
    backbone: `video_backbone/v2w_${lora}.pt`,
    layer: 20,
    statistics: "dataset_statistics/bridge.json",
  });
  expect(choose("bridge@pretrained_cosmos").backbone).toBe("video_backbone/v2w_pretrained_cosmos.pt");
  expect(choose("libero_goal_half").layer).toBe(20);
});

test("a longer name than is needed is as good", () => {
  expect(choose("libero_goal_half@libero_goal_agentview_lora").name).toBe("libero_goal_half");
});

test("a short name of two is refused with both", () => {
  expect(() => choose("bridge")).toThrow(UsageError);
  expect(() => choose("bridge")).toThrow(/2 policies "bridge".*bridge@bridge_lora, bridge@pretrained_cosmos/);
});

test.each([undefined, "libero_goal_full", ""])("what is offered is listed for %s", (asked) => {
  expect(() => choose(asked)).toThrow(UsageError);
  expect(() => choose(asked)).toThrow(
    /bridge@bridge_lora, bridge@pretrained_cosmos, libero_goal_half, libero_goal_one/,
  );
});

test("another's backbone is refused by name", () => {
  expect(() => choose("libero_goal_half@pretrained_cosmos")).toThrow(
    /"libero_goal_half" that was trained on the backbone "pretrained_cosmos"; its own is libero_goal_agentview_lora/,
  );
  const without = published.filter((path) => path !== "video_backbone/v2w_pretrained_cosmos.pt");
  expect(() => choose("bridge@pretrained_cosmos", without)).toThrow(FormatError);
  expect(() => choose("bridge@pretrained_cosmos", without)).toThrow(
    /no video_backbone\/v2w_pretrained_cosmos\.pt.*there: .*v2w_bridge_lora/,
  );
});

test("missing statistics are named", () => {
  expect(() => choose("libero_goal_one")).toThrow(/no dataset_statistics\/libero_goal_one\.json/);
});

test("a decoder's name that says too little", () => {
  const paths = ["action_decoder/w2a_mine.pt"];
  expect(() => policyNames(paths)).toThrow(FormatError);
});

test("decoders that differ in layer or training alone", () => {
  const paths = [10, 20].flatMap((layer) => [
    `action_decoder/w2a_push_v2w_mine_lr1.000e-04_layer${layer}_bsz1_iter_000000001.pt`,
  ]);
  expect(policyNames(paths)).toEqual([
    "push@mine_lr1.000e-04_layer10_bsz1_iter_000000001",
    "push@mine_lr1.000e-04_layer20_bsz1_iter_000000001",
  ]);
  expect(() => choose("push@mine", paths)).toThrow(/2 policies "push@mine"/);
});

test("where the merged backbone is absent, adapters apart are taken", async () => {
  const { paths } = await openModelFolder(folderOf("lora"));
  expect(policyNames(paths)).toEqual(["bridge"]);
  expect(choosePolicy("lora", paths)).toEqual(choosePolicy("lora", paths, "bridge"));
  expect(choosePolicy("lora", paths, "bridge")).toMatchObject({
    backbone: "video_backbone/v2w_bridge_lora_rank256_lr1.778e-04_bsz64_iter_000070043.pt",
    layer: 2,
  });
});
