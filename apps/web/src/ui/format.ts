export * from "@signalbox/protocol/format";
