// Gives the precompiled torch header a translation unit to belong to.
