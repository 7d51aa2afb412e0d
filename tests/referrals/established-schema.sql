-- The database of the old service of referrals, as an adopted one has it (MySQL 5.7 and 8.0, Aurora).

CREATE TABLE reward (
  id bigint(20) unsigned NOT NULL AUTO_INCREMENT,
  name varchar(20) NOT NULL,
  description varchar(255) DEFAULT NULL,
  amount decimal(12,2) NOT NULL,
  PRIMARY KEY (id),
  UNIQUE KEY name (name)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci;

CREATE TABLE referral_scheme (
  id bigint(20) unsigned NOT NULL AUTO_INCREMENT,
  product varchar(20) NOT NULL,
  expiry_period_type varchar(20) NOT NULL,
  expiry_period_length INTEGER NOT NULL,
  limit_rewards INTEGER NOT NULL,
  recruit_reward_id bigint(20) unsigned NOT NULL,
  referrer_reward_id bigint(20) unsigned NOT NULL,
  active tinyint(1) NOT NULL,
  activated_at timestamp NOT NULL,
  PRIMARY KEY (id),
  CONSTRAINT FK_referral_scheme_recruitreward FOREIGN KEY (recruit_reward_id) REFERENCES reward (id),
  CONSTRAINT FK_referral_scheme_referrerreward FOREIGN KEY (referrer_reward_id) REFERENCES reward (id),
  INDEX referral_scheme_active_idx (active)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci;

CREATE TABLE condition_table (
  id bigint(20) unsigned NOT NULL AUTO_INCREMENT,
  name varchar(20) NOT NULL,
  description varchar(255) DEFAULT NULL,
  event_type varchar(20) NOT NULL,
  PRIMARY KEY (id),
  UNIQUE KEY name (name),
  UNIQUE KEY event_type (event_type)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci;

CREATE TABLE referral_scheme_condition_table (
  referral_scheme_id bigint(20) unsigned NOT NULL,
  condition_id bigint(20) unsigned NOT NULL,
  ordinal int unsigned NOT NULL,
  data text NOT NULL,
  PRIMARY KEY (referral_scheme_id, condition_id),
  CONSTRAINT FK_referralschemeconditiontable_referralscheme FOREIGN KEY (referral_scheme_id) REFERENCES referral_scheme (id),
  CONSTRAINT FK_referralschemeconditiontable_conditiontable FOREIGN KEY (condition_id) REFERENCES condition_table (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci;

CREATE TABLE referral (
  id bigint(20) unsigned NOT NULL AUTO_INCREMENT,
  referrer_user_id bigint(20) unsigned NOT NULL,
  user_id bigint(20) unsigned NOT NULL,
  created_at timestamp NOT NULL,
  referral_scheme_id bigint(20) unsigned NOT NULL,
  PRIMARY KEY (id),
  CONSTRAINT ReferralScheme_User UNIQUE (referral_scheme_id, user_id),
  CONSTRAINT FK_referral_referralscheme FOREIGN KEY (referral_scheme_id) REFERENCES referral_scheme (id),
  INDEX referrer_user_id_idx (referrer_user_id),
  INDEX user_id_idx (user_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci;

CREATE TABLE referral_condition (
  referral_id bigint(20) unsigned NOT NULL,
  condition_id bigint(20) unsigned NOT NULL,
  created_at timestamp NOT NULL,
  PRIMARY KEY (referral_id, condition_id),
  CONSTRAINT FK_referralcondition_referral FOREIGN KEY (referral_id) REFERENCES referral (id),
  CONSTRAINT FK_referralcondition_condition FOREIGN KEY (condition_id) REFERENCES condition_table (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci;

CREATE TABLE task_manager (
  id bigint(20) unsigned NOT NULL AUTO_INCREMENT,
  in_progress tinyint(1) NOT NULL,
  updated_at timestamp NOT NULL,
  PRIMARY KEY (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci;

DELIMITER $$
CREATE TRIGGER accept_only_one_row BEFORE INSERT ON task_manager FOR EACH ROW
BEGIN
  IF (SELECT COUNT(*) FROM task_manager) > 0 THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'Only one task is allowed';
  END IF;
END $$
DELIMITER ;
