-- Run once by simdb, in database app, as its owner.
CREATE TABLE greeting (text text NOT NULL);
