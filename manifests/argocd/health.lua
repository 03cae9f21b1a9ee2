-- Argo CD health check for BedrockAccess; see argocd-cm.yaml.
-- https://argo-cd.readthedocs.io/en/stable/operator-manual/health/#custom-health-checks
local health = { status = "Progressing", message = "waiting for the operator" }
local status = obj.status
if status == nil or status.conditions == nil then
  return health
end
if obj.metadata.generation ~= nil and status.observedGeneration ~= obj.metadata.generation then
  health.message = "waiting for the operator to see the current spec"
  return health
end
local conditions = {}
for _, condition in ipairs(status.conditions) do
  conditions[condition.type] = condition
end
local ready, reconciling, stalled = conditions.Ready, conditions.Reconciling, conditions.Stalled
if stalled ~= nil and stalled.status == "True" then
  health.status = "Degraded"
  health.message = stalled.message
elseif ready ~= nil and ready.reason == "Suspended" then
  health.status = "Suspended"
  health.message = ready.message
elseif reconciling ~= nil and reconciling.status == "True" then
  health.message = reconciling.message
elseif ready ~= nil and ready.status == "True" then
  health.status = "Healthy"
  health.message = ready.message
elseif ready ~= nil and ready.reason == "ScaledToZero" then
  health.status = "Suspended"
  health.message = ready.message
elseif ready ~= nil then
  health.status = "Degraded"
  health.message = ready.message
end
return health
