-- A model that nothing was stored of yet has no row, so an import, an edit or a calibration could not
-- begin with it: only a session's lesson could. Whoever stores its first vectors or its floor makes it
-- known now.

grant insert on radiant.embedding_model to radiant_api, radiant_maintenance;
