import type { JsonObject } from "@bufbuild/protobuf";
import type { LeverValue } from "@signalbox/protocol";

/** What a filled-in start form asks for. */
export interface StartRequest {
  readonly type: string;
  /** Empty: the type's name. */
  readonly name: string;
  readonly parameters: JsonObject;
  readonly labels: Record<string, string>;
  readonly levers: LeverValue[];
}
