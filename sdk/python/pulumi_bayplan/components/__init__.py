"""Components for the everyday, made of the package's resources."""

from pulumi_bayplan.components.environment import Difference, Environment
from pulumi_bayplan.components.web_service import Rollout, WebService

__all__ = ["Difference", "Environment", "Rollout", "WebService"]
