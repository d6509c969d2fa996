/** Robot actions against float64 values of numpy 2.4.6 and scipy 1.17.1 (`Rotation`), by the formulas of the release's clients. */
import { describe, expect, test } from "vitest";
import { UsageError } from "../../../src/errors.ts";
import {
  BridgeController,
  liberoActions,
  poseOf,
  rotationRows,
  rotationVector,
} from "../../../src/systems/mimic-video-release/robot-actions.ts";

function close(ours: ArrayLike<number>, truth: readonly number[], tolerance = 1e-12): void {
  expect(ours.length).toBe(truth.length);
  truth.forEach((value, i) => {
    expect(Math.abs(ours[i] - value), `${i}: ${ours[i]} is not ${value}`).toBeLessThan(tolerance);
  });
}

describe("LIBERO", () => {
  const cases = [
    {
      action: [
        0.0012301533574825742, 0.2987455375084699, -0.2741378553622176, -0.8905918387572742,
        -0.45467078517172255, -0.9916465549964624, 0.060143602597438485, 1.3402152455545335,
        -0.49220651855132963, -0.6204748998199404,
      ],
      expected: [
        0.0012301533574825742, 0.2987455375084699, -0.2741378553622176, 0.23815073213740157,
        -2.2182486353898923, 0.46497989382925387, -1,
      ],
    },
    {
      action: [
        0.4898420501851982, 0.35688700816006075, 0.10541424899789856, -0.9304680447082047,
        -0.02925182246327349, 0.6953031944582878, -1.344214547285082, -0.45761576104021817,
        -1.901222739800844, -1.289537739784976,
      ],
      expected: [
        0.4898420501851982, 0.35688700816006075, 0.10541424899789856, -0.705607971180357, 1.7011610753560766,
        -2.0518360279971835, -1,
      ],
    },
  ];
  test.each(cases)("rows that are not of unit length", ({ action, expected }) => {
    close(liberoActions(action), expected);
  });

  test("a turn of almost π, and a chunk", () => {
    const almost = [
      -1.8417350377917323, -0.23509113107468127, -1.2674464814437032, -0.9999999999999948,
      -9.999999995880661e-8, 0, 9.999999995880661e-8, -0.9999999999999948, 0, 0.11330898600330756,
    ];
    const expected = [
      -1.8417350377917323, -0.23509113107468127, -1.2674464814437032, 0, 0, 3.1415925535897933, 1,
    ];
    // 1e-9 in the release's norm leaves that much of the angle.
    close(liberoActions([...cases[0].action, ...almost]), [...cases[0].expected, ...expected], 2e-9);
  });

  test("a small turn keeps its digits, none at all is zero", () => {
    const small = rotationVector(poseOf([0, 0, 0, 1, -1e-9, 0, 1e-9, 1, 0, 0]).rotation);
    close(small, [0, 0, 1e-9], 1e-17);
    close(rotationVector(poseOf([0, 0, 0, 1, 0, 0, 0, 1, 0, 0]).rotation), [0, 0, 0], 1e-30);
  });

  test("parts of an action are refused", () => {
    expect(() => liberoActions([1, 2, 3])).toThrow(UsageError);
  });
});

describe("Bridge", () => {
  const state = [
    0.3182695870158236, -0.24226040259956894, -0.009756511483656178, 0.22907965430828203, -0.3683751979909395,
    0.9010117787726942, 0.8155976680308106, 0.5778968743777897, 0.028907550693291373, 0.4,
  ];
  const steps = [
    {
      action: [
        0.0442194933691587, -0.0291800216371651, -0.005585097479207982, 0.9345724319509257,
        0.38670056227889765, -0.018261455948007696, -0.3417095180850971, 0.9350748141031677,
        -0.048695989172460805, 0.3612640590141576,
      ],
      position: [0.3258921841366707, -0.25425329162062116, -0.009011349195941544],
      quaternion: [-0.7317978051458214, -0.23490002912571128, -0.4675494296784571, -0.43668235538872874],
      target: [0.3341163308882616, -0.2232195817321212, -0.056919615809309425],
      rows: [
        0.3510463383216426, -0.20601288712378063, 0.9134140096713101, 0.532299733998225, 0.8464456369648122,
        -0.013666489645353162,
      ],
      worldVector: [0.008224146751610872, 0.031033709888499933, -0.047908266613367875],
      axisAngle: [-0.2519524602429078, 0.02449175679565253, -0.17423633032378286],
      gripper: -0.2774718819716848,
    },
    {
      action: [
        -0.0033258660074707786, 0.0333623780417164, 0.0719261295828076, 0.991090407882094,
        0.10762432776198252, 0.06271804456709577, -0.14757905237710484, 0.9879335127915917,
        0.21923127087521477, 0.21500403735588003,
      ],
      position: [0.3103231633559531, -0.23579136837383471, -0.029680709325401122],
      quaternion: [-0.7295028691868859, -0.18382141402506683, -0.4976470581559525, -0.43172057757611254],
      target: [0.3700241160678769, -0.22361374894888633, 0.04743832028596336],
      rows: [
        0.2372437163175872, -0.5321885223739583, 0.8127058447837935, 0.7394272804359154, 0.6415112147771579,
        0.20423186388355768,
      ],
      worldVector: [0.03175149080369385, 0.0030939181815958453, 0.10166361389766349],
      axisAngle: [-0.07439222032478025, -0.09722837602606968, -0.011114079749907522],
      gripper: -0.5699919252882399,
    },
    {
      // more than a right angle away: the turn is cut
      action: [
        0.034470195028537785, -0.016360671011109894, -0.018428794704997958, -0.9553816033887658,
        -0.3063987658486719, 0.02131398031692274, -0.28389314599766896, 0.7863929770273785,
        -0.5176038565717371, 0.41095528215712984,
      ],
      position: [0.3299308647777258, -0.2357295175725573, -0.009997947613755501],
      quaternion: [-0.7262679276872838, -0.22627001711954534, -0.4639030957791699, -0.4540161828525955],
      target: [0.3155883117047766, -0.22413410389304728, -0.047962982492060546],
      rows: [
        0.010971932286330232, -0.8239228025591371, -0.5665958228476299, -0.9284483211179018,
        0.20200787537091608, -0.3117315019847384,
      ],
      worldVector: [0.00878619845905515, 0.07026656278595418, -0.07076659937919441],
      axisAngle: [0.6607382629583681, -0.3611198632474866, -0.6580405703532839],
      gripper: -0.17808943568574032,
    },
  ];
  const named = ([w, x, y, z]: readonly number[]) => ({ w, x, y, z });

  test("three steps of a chunk", () => {
    const controller = new BridgeController();
    controller.plan(
      state,
      steps.flatMap(({ action }) => action),
    );
    steps.forEach((step, t) => {
      const { position, rotation: m } = controller.poses[t];
      close(position, step.target);
      close([m[0], m[4], m[8], m[1], m[5], m[9]], step.rows);
      const command = controller.step(step.position, named(step.quaternion));
      close(command.worldVector, step.worldVector);
      close(command.rotationAxisAngle, step.axisAngle);
      close([command.gripper], [step.gripper]);
    });
    expect(() => controller.step(steps[0].position, named(steps[0].quaternion))).toThrow(UsageError);
  });

  test("a reset forgets the last target", () => {
    const controller = new BridgeController();
    controller.plan(state, steps[1].action);
    controller.step(steps[1].position, named(steps[1].quaternion));
    controller.reset();
    controller.plan(state, steps[0].action);
    close(controller.step(steps[0].position, named(steps[0].quaternion)).worldVector, steps[0].worldVector);
  });

  test("rows of a quaternion", () => {
    const [x, y, z, w] = [
      -0.003702364013651604, 0.40001288357896264, -0.885138067262765, 0.23771114267928303,
    ];
    const rows = [
      -0.8869594102936399, 0.41785237618560844, 0.19672924593867408, -0.42377634940624753,
      -0.5669662112339057, -0.7063730749419774,
    ];
    close(rotationRows({ w, x, y, z }), rows);
  });
});
