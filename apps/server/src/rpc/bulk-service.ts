import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  GetBulkResponseSchema,
  ListBulksResponseSchema,
  ReleaseBulkResponseSchema,
  StartBulkResponseSchema,
  StopBulkResponseSchema,
  UndoBulkResponseSchema,
  type BulkService,
} from "@signalbox/protocol";
import type { Bulks } from "../bulk/bulks.ts";
import { actorOf } from "./actor.ts";

/** The service that gives commands to many jobs at once. */
export function bulkService(bulks: Bulks): ServiceImpl<typeof BulkService> {
  return {
    previewBulk: (request) => bulks.preview(request),

    async startBulk(request, context) {
      return create(StartBulkResponseSchema, { bulk: await bulks.start(request, actorOf(context)) });
    },

    async releaseBulk({ bulkId }, context) {
      return create(ReleaseBulkResponseSchema, { bulk: await bulks.release(bulkId, actorOf(context)) });
    },

    async undoBulk({ bulkId }, context) {
      return create(UndoBulkResponseSchema, { bulk: await bulks.undo(bulkId, actorOf(context)) });
    },

    async stopBulk({ bulkId }, context) {
      return create(StopBulkResponseSchema, { bulk: await bulks.stop(bulkId, actorOf(context)) });
    },

    async getBulk({ bulkId }) {
      return create(GetBulkResponseSchema, { bulk: await bulks.get(bulkId) });
    },

    listBulks() {
      return create(ListBulksResponseSchema, { bulks: bulks.list() });
    },
  };
}
