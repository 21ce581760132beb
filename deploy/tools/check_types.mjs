// Check resources against the types of KEDA and of Prometheus' operator: JSON on stdin, a list. Prints faults.
import { readFileSync } from "node:fs";
import * as keda from "@kubernetes-models/keda/keda.sh/v1alpha1";
import * as operator from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1";

const TYPES = { "keda.sh/v1alpha1": keda, "monitoring.coreos.com/v1": operator };

const faults = JSON.parse(readFileSync(0, "utf8")).flatMap((resource) => {
  const Type = TYPES[resource.apiVersion]?.[resource.kind];
  if (Type === undefined) return [`${resource.apiVersion} ${resource.kind}: no type is known`];
  try {
    new Type(resource).validate();
    return [];
  } catch (error) {
    return [`${resource.kind} ${resource.metadata.name}: ${error.message}`];
  }
});
console.log(faults.join("\n"));
process.exitCode = faults.length === 0 ? 0 : 1;
