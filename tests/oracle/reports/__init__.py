"""The three reports written out by hand over the rows, section by section; keys are the columns of the answers."""

from tests.oracle.reports.classroom import classroom_engagement
from tests.oracle.reports.common import Period, Row, Sections
from tests.oracle.reports.quiz import content_effectiveness
from tests.oracle.reports.student import student_performance

__all__ = ["Period", "Row", "Sections", "classroom_engagement", "content_effectiveness", "student_performance"]
