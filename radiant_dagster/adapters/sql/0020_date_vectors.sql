-- A floor belongs to an embedding model and is measured from what its similarities were worth. After a
-- model was replaced, the old model's similarities counted for the new one: a use does not say which
-- model it was measured with, and its heuristic has the new one's name by then. So a heuristic says
-- since when its vector is of its model.

alter table radiant.knowledge_heuristics
    add column model_since timestamptz;          -- null: always
grant update (model_since) on radiant.knowledge_heuristics to radiant_api;
grant select (model_since) on radiant.knowledge_heuristics to radiant_maintenance;
